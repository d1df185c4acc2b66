"""Recognises the format of an image and opens it: header only, within the limits."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import ImageTooLargeError, UnsupportedFormatError
from app.imaging import webp
from app.imaging.directory import UPRIGHT, count_tiles, read_orientation
from app.imaging.jpeg import strip_jpeg
from app.imaging.png import read_bit_depth, strip_png

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

_TIFF_BITS_PER_SAMPLE, _TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH = 258, 322, 323

# Pillow keeps a record of each strip or tile, and reads up to 64 KiB for each, whatever its
# size. One strip per row stays below this for all but the oddest shapes.
_MAX_TIFF_TILES = 65_536


@dataclass(frozen=True, slots=True)
class Container:
    """An image of which only the header has been read.

    Attributes:
        image: Not loaded yet; a plain one, which is decoded without a file object, is.
        orientation: Of the EXIF block, 1 to 8; 1 where Pillow itself turns the image (TIFF).
        bit_depth: Bits per sample in the file.
    """

    image: Image.Image
    orientation: int = UPRIGHT
    bit_depth: int = 8


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


def open_container(data: bytes, format_name: str, max_pixels: int) -> Container:
    """Read the header of an image.

    Pillow's classes are called directly instead of through ``Image.open``, which would apply
    Pillow's own process-wide pixel limit before this one, and try other formats after a failure.

    Raises:
        ImageTooLargeError: More than ``max_pixels``; no memory has been taken for any.
        Exception: The header is corrupt; Pillow has many ways of saying so.
    """
    container = _OPENERS[format_name](data, max_pixels)
    _check_pixels(container.image.size, max_pixels)
    return container


def _check_pixels(size: tuple[int, int], limit: int) -> None:
    pixels = size[0] * size[1]
    if pixels > limit:
        raise ImageTooLargeError(
            f"The image has {pixels:,} pixels; the limit is {limit:,} (KERASERVE_MAX_IMAGE_PIXELS)."
        )


def _open_png(data: bytes, _: int) -> Container:
    data, exif = strip_png(data)
    image = PngImageFile(io.BytesIO(data))
    return Container(image, read_orientation(exif) if exif else UPRIGHT, read_bit_depth(data))


def _open_jpeg(data: bytes, _: int) -> Container:
    data, exif = strip_jpeg(data)
    image = JpegImageFile(io.BytesIO(data))
    return Container(image, read_orientation(exif) if exif else UPRIGHT)


def _open_webp(data: bytes, max_pixels: int) -> Container:
    size = webp.read_size(data)
    if size is not None:
        _check_pixels(size, max_pixels)
    image = WebPImageFile(io.BytesIO(data))
    exif = image.info.get("exif")
    return Container(image, read_orientation(exif) if exif else UPRIGHT)


def _open_tiff(data: bytes, max_pixels: int) -> Container:
    tiles = count_tiles(data)
    if tiles > _MAX_TIFF_TILES:
        raise ValueError(f"it has {tiles:,} tiles; the limit is {_MAX_TIFF_TILES:,}")
    image = TiffImageFile(io.BytesIO(data))
    # A tile is decoded as a whole, even if the image is only a corner of it.
    tile = (image.tag_v2.get(_TIFF_TILE_WIDTH, 1), image.tag_v2.get(_TIFF_TILE_LENGTH, 1))
    _check_pixels(tile, max_pixels)
    return Container(image, bit_depth=image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))[0])


_OPENERS: dict[str, Callable[[bytes, int], Container]] = {
    "PNG": _open_png,
    "JPEG": _open_jpeg,
    "WEBP": _open_webp,
    "BMP": lambda data, _: Container(BmpImageFile(io.BytesIO(data))),
    "GIF": lambda data, _: Container(GifImageFile(io.BytesIO(data))),
    "TIFF": _open_tiff,
}
