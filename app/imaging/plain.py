"""Decodes small, ordinary PNG and JPEG files without making one of Pillow's file objects.

Opening such a file and copying its pixels out costs Pillow more than decoding a thumbnail does.
Here ``png`` and ``jpeg`` read the header, strictly, and the rest goes to the decoders that Pillow
itself would use, called as ``ImageFile.load`` and ``Image.tobytes`` of the pinned version call
them. ``PIL._imaging`` is internal to Pillow, and this is the only module that touches it:
``Image.frombytes`` would do, in 4 microseconds more. Where another version has other internals,
everything takes the long way.

Whatever is not ordinary, and whatever a decoder refuses, takes the long way through
``container`` too, which has the words for what is wrong: this way answers with no error of its
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import _imaging

from app.imaging.directory import UPRIGHT, read_orientation
from app.imaging.jpeg import read_plain_jpeg
from app.imaging.png import read_plain_png
from app.imaging.resize import is_decoded_whole
from app.types import InputSpec

# The long way gives the decoder blocks of this size (``ImageFile.MAXBLOCK``): a file that is one
# block is decoded by the same single call on both ways.
_MAX_BYTES = 65_536

# A file that fails here is decoded a second time: this bounds what that costs to some
# milliseconds. Above it, opening is lost in the time for the pixels anyway.
_MAX_PIXELS = 262_144

_FIRST_TURNED = 5  # from this orientation on, width and height change places
_MAX_BYTES_PER_PIXEL = 4
_BYTES_PER_PIXEL = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


class PlainImage(NamedTuple):
    """A decoded image, as it is stored.

    Attributes:
        mode: Pillow's, ``L``, ``LA``, ``RGB`` or ``RGBA``.
        size: Width and height, px.
        orientation: Of the EXIF block, 1 to 8.
        pixels: Rows from the top, without gaps, 1 to 4 bytes per pixel.
    """

    mode: str
    size: tuple[int, int]
    orientation: int
    pixels: bytes


def load_plain(
    data: bytes, format_name: str, spec: InputSpec, max_pixels: int
) -> PlainImage | None:
    """Decode a small PNG or JPEG of the common kind.

    Args:
        data: The file; any bytes at all.
        format_name: As ``identify`` gave it.
        spec: A JPEG that is worth decoding at a fraction of its size for it is not for this way.
        max_pixels: The limit; what exceeds it is not decoded here.

    Returns:
        The image, with the same pixels as by ``open_container``; None if it takes that.

    Raises:
        ValueError: A JPEG has more scans than any encoder writes.
    """
    if len(data) > _MAX_BYTES:
        return None
    limit = min(max_pixels, _MAX_PIXELS)
    if format_name == "PNG":
        return _load_png(data, limit)
    if format_name == "JPEG":
        return _load_jpeg(data, limit, spec)
    return None


def _load_png(data: bytes, limit: int) -> PlainImage | None:
    plain = read_plain_png(data)
    if plain is None or not 0 < plain.size[0] * plain.size[1] <= limit:
        return None
    pixels = _run_decoder(plain.parts, "zip", plain.mode, plain.size)
    if pixels is None:
        return None
    orientation = read_orientation(plain.exif) if plain.exif else UPRIGHT
    return PlainImage(plain.mode, plain.size, orientation, pixels)


def _load_jpeg(data: bytes, limit: int, spec: InputSpec) -> PlainImage | None:
    plain = read_plain_jpeg(data)
    if plain is None or not 0 < plain.size[0] * plain.size[1] <= limit:
        return None
    orientation = read_orientation(plain.exif) if plain.exif else UPRIGHT
    if not is_decoded_whole(plain.size if orientation < _FIRST_TURNED else plain.size[::-1], spec):
        return None
    pixels = _run_decoder([data], "jpeg", plain.mode, plain.size)
    return None if pixels is None else PlainImage(plain.mode, plain.size, orientation, pixels)


def _run_decoder(
    parts: Sequence[bytes], codec: str, mode: str, size: tuple[int, int]
) -> bytes | None:
    width, height = size
    extents = (0, 0, width, height)
    try:
        image = _imaging.new(mode, size)
        if codec == "zip":
            decoder = _imaging.zip_decoder(mode, mode)
        else:
            decoder = _imaging.jpeg_decoder(mode, mode, "")
        decoder.setimage(image, extents)
        if not _feed(decoder, parts):
            return None
        encoder = _imaging.raw_encoder(mode, mode)
        encoder.setimage(image, extents)
        pixels: bytes = encoder.encode(width * height * _MAX_BYTES_PER_PIXEL)[2]
    except (AttributeError, TypeError, ValueError):  # other internals
        return None
    return pixels if len(pixels) == width * height * _BYTES_PER_PIXEL[mode] else None


def _feed(decoder: Any, parts: Sequence[bytes]) -> bool:
    """Return whether a decoder is content: it wants no more, and found no damage.

    In pieces as on the long way: of a picture with too few rows it depends on them whether the
    decoder notices.
    """
    rest = b""
    for part in parts:
        rest += part
        consumed, problem = decoder.decode(rest)
        if consumed < 0:
            return not problem
        rest = rest[consumed:]
    return False
