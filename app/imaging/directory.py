"""Reads the first directory of a TIFF structure: of a TIFF file, or of an EXIF block."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

UPRIGHT = 1

_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324

_BIG_TIFF = 43
_LAYOUTS = {  # where the first directory is, how many entries it has, and one entry
    False: ("4xI", "H", "HHI4s"),
    True: ("8xQ", "Q", "HHQ8s"),
}


def read_orientation(exif: bytes) -> int:
    """Find the orientation tag of an EXIF block.

    Pillow's ``getexif`` is not used: it costs more than decoding a thumbnail, warns about
    damaged blocks through the process-wide ``warnings`` registry, and falls back to XMP, which
    browsers ignore as well.

    Args:
        exif: A TIFF structure, with or without the prefix ``Exif\\0\\0``.

    Returns:
        1 to 8 as the EXIF standard numbers them; 1 (upright) if the tag is absent or damaged.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    for tag, kind, _, value in _iter_entries(exif):
        if tag == _ORIENTATION and kind in (_SHORT, _LONG):
            width = 2 if kind == _SHORT else 4
            orientation = int.from_bytes(value[:width], _byte_order(exif))
            return orientation if 1 <= orientation <= 8 else UPRIGHT
    return UPRIGHT


def count_tiles(tiff: bytes) -> int:
    """Return how many strips or tiles a TIFF file says its first image has."""
    entries = _iter_entries(tiff)
    return sum(count for tag, _, count, _ in entries if tag in (_STRIP_OFFSETS, _TILE_OFFSETS))


def _byte_order(tiff: bytes) -> Literal["little", "big"]:
    return "little" if tiff[:2] == b"II" else "big"


def _iter_entries(tiff: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield tag, type, count and the value or its offset; nothing where the data are damaged."""
    if tiff[:2] not in (b"II", b"MM"):
        return
    order = _byte_order(tiff)
    sign = "<" if order == "little" else ">"
    header, number, entry = _LAYOUTS[int.from_bytes(tiff[2:4], order) == _BIG_TIFF]
    try:
        (start,) = struct.unpack_from(sign + header, tiff)
        (count,) = struct.unpack_from(sign + number, tiff, start)
    except (struct.error, OverflowError):  # outside the data
        return
    first = start + struct.calcsize(sign + number)
    size = struct.calcsize(sign + entry)
    whole = min(count, (len(tiff) - first) // size)
    yield from struct.iter_unpack(sign + entry, tiff[first : first + whole * size])
