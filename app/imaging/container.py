"""Recognises the format of an image and opens it: header only, within the limits."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import ImageTooLargeError, UnsupportedFormatError
from app.imaging import webp
from app.imaging.directory import UPRIGHT, read_orientation
from app.imaging.effort import (
    NO_EFFORT,
    NS_PER_MS,
    Effort,
    TimedFile,
    bmp_effort,
    gif_effort,
    jpeg_effort,
    most_webp_tables,
    png_effort,
    tiff_effort,
    webp_effort,
)
from app.imaging.gif import check_gif
from app.imaging.jpeg import strip_jpeg
from app.imaging.jpeg_scans import read_coding
from app.imaging.png import read_bit_depth, read_bits_per_pixel, strip_png
from app.imaging.tiff import strip_tiff

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""The formats that can be enabled, by Pillow's names."""

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
)

_TIFF_BITS_PER_SAMPLE, _TIFF_SAMPLES, _TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH = 258, 277, 322, 323
_TIFF_STRIP_OFFSETS, _TIFF_TILE_OFFSETS = 273, 324
_PROGRESSIVE_FRAME = b"\xff\xc2"

# A WebP may bring many tables of codes, but hardly does. If that many would take more than one part
# in so many of the time, it is looked for in the stream, which takes up to 20 ms.
_WEBP_LOOK_SHARE = 4

# Between two looks at the clock a PNG gets this much; it becomes a thousand times as much at most.
_TIMED_BLOCK_BYTES = 8_192


class Limits(NamedTuple):
    """What an image may cost.

    Attributes:
        max_pixels: Width times height.
        max_ms: Time of one core.
    """

    max_pixels: int
    max_ms: float


@dataclass(frozen=True, slots=True)
class Container:
    """An image of which only the header has been read.

    Attributes:
        image: Not loaded yet; a plain one, which is decoded without a file object, is.
        orientation: Of the EXIF block, or of a TIFF's directory, 1 to 8.
        bit_depth: Bits per sample in the file.
        effort: What its header tells about decoding it.
    """

    image: Image.Image
    orientation: int = UPRIGHT
    bit_depth: int = 8
    effort: Effort = NO_EFFORT


def identify(data: bytes, formats: tuple[str, ...]) -> str:
    """Return the format of ``data`` by its first bytes.

    Raises:
        UnsupportedFormatError: None of the known formats, or one that is not in ``formats``.
    """
    known = None
    for start, name in _SIGNATURES:
        if data.startswith(start):
            known = name
            break
    if known is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        known = "WEBP"
    if known in formats:
        return known
    what = f"{known} images are not enabled" if known else "The file is not a known image"
    raise UnsupportedFormatError(f"{what}; enabled formats: {', '.join(formats)}.")


def open_container(data: bytes, format_name: str, limits: Limits) -> Container:
    """Read the header of an image.

    Pillow's classes are called directly instead of through ``Image.open``, which would apply
    Pillow's own process-wide pixel limit before this one, and try other formats after a failure.

    Raises:
        ImageTooLargeError: More pixels than the limit; no memory has been taken for any.
        Exception: The header is corrupt; Pillow has many ways of saying so.
    """
    container = _OPENERS[format_name](data, limits)
    _check_pixels(container.image.size, limits.max_pixels)
    return container


def _check_pixels(size: tuple[int, int], limit: int) -> None:
    pixels = size[0] * size[1]
    if pixels > limit:
        raise ImageTooLargeError(
            f"The image has {pixels:,} pixels; the limit is {limit:,} (KERASERVE_MAX_IMAGE_PIXELS)."
        )


def _orientation_of(exif: bytes | None) -> int:
    return read_orientation(exif) if exif else UPRIGHT


def _open_png(data: bytes, limits: Limits) -> Container:
    data, exif = strip_png(data)
    worst_ms = png_effort((0, 0), 0, len(data)).worst_ns / NS_PER_MS
    if worst_ms <= limits.max_ms:
        image = PngImageFile(io.BytesIO(data))
    else:
        image = PngImageFile(TimedFile(data, limits.max_ms))
        image.decodermaxblock = _TIMED_BLOCK_BYTES
    effort = png_effort(image.size, read_bits_per_pixel(data), len(data))
    return Container(image, _orientation_of(exif), read_bit_depth(data), effort)


def _open_jpeg(data: bytes, _: Limits) -> Container:
    data, exif = strip_jpeg(data)
    effort = jpeg_effort(read_coding(data), len(data))
    return Container(JpegImageFile(io.BytesIO(data)), _orientation_of(exif), effort=effort)


def _open_webp(data: bytes, limits: Limits) -> Container:
    size = webp.read_size(data)
    if size is not None:
        _check_pixels(size, limits.max_pixels)
    data, picture = webp.strip_webp(data)
    image = WebPImageFile(io.BytesIO(data))
    effort = _webp_effort(picture, image.size, limits)
    return Container(image, _orientation_of(image.info.get("exif")), effort=effort)


def _webp_effort(picture: webp.FirstPicture, size: tuple[int, int], limits: Limits) -> Effort:
    tables = most_webp_tables(size, picture.size_bytes) if picture.is_lossless else 0
    effort = partial(
        webp_effort,
        picture.size_bytes,
        is_lossy=picture.colors is None,
        has_tables=picture.is_lossless,
    )
    if effort(tables).stream_ns * _WEBP_LOOK_SHARE <= limits.max_ms * NS_PER_MS:
        return effort(tables)
    counted = picture.count_tables()
    return effort(tables if counted is None else min(tables, counted))


def _open_gif(data: bytes, _: Limits) -> Container:
    check_gif(data)
    return Container(GifImageFile(io.BytesIO(data)), effort=gif_effort(len(data)))


def _open_bmp(data: bytes, _: Limits) -> Container:
    image = BmpImageFile(io.BytesIO(data))
    is_run_length = any(tile.codec_name == "bmp_rle" for tile in image.tile)
    return Container(image, effort=bmp_effort(len(data), is_run_length=is_run_length))


def _open_tiff(data: bytes, limits: Limits) -> Container:
    orientation = read_orientation(data)
    data = strip_tiff(data)
    image = TiffImageFile(io.BytesIO(data))
    tags = image.tag_v2
    bits = tags.get(_TIFF_BITS_PER_SAMPLE, (1,))
    # A tile is decoded as a whole, even if the image is only a corner of it.
    tile = (tags.get(_TIFF_TILE_WIDTH, 1), tags.get(_TIFF_TILE_LENGTH, 1))
    _check_pixels(tile, limits.max_pixels)
    tiles = max(len(tags.get(tag, ())) for tag in (_TIFF_STRIP_OFFSETS, _TIFF_TILE_OFFSETS))
    rows_bytes = (
        (image.width + tile[0])
        * (image.height + tile[1])
        * max(bits)
        * max(tags.get(_TIFF_SAMPLES, 1), len(bits))
        / 8
    )
    compression = image.info["compression"]
    has_scans = compression == "jpeg" and _PROGRESSIVE_FRAME in data
    effort = tiff_effort(rows_bytes, tiles, len(data), compression, has_scans=has_scans)
    return Container(image, orientation, bits[0], effort)


_OPENERS: dict[str, Callable[[bytes, Limits], Container]] = {
    "PNG": _open_png,
    "JPEG": _open_jpeg,
    "WEBP": _open_webp,
    "BMP": _open_bmp,
    "GIF": _open_gif,
    "TIFF": _open_tiff,
}
