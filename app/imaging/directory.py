"""Reads the first directory of a TIFF structure: of a TIFF file, or of an EXIF block."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

UPRIGHT = 1

_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4

# Tags stand in order, and the orientation is one of the first. Cameras write some dozens.
_MAX_ENTRIES = 4_096

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


def _byte_order(tiff: bytes) -> Literal["little", "big"]:
    return "little" if tiff[:2] == b"II" else "big"


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the first directory of a TIFF structure is.

    Attributes:
        start: Offset of the number of entries.
        number: Layout of that number, with byte order.
        first: Offset of the first entry.
        count: Entries that it says it has.
        end: Offset behind the last entry that is whole.
        entry: Layout of an entry, with byte order: tag, type, count, value or its offset.
        offset_bytes: Size of an offset.
    """

    start: int
    number: str
    first: int
    count: int
    end: int
    entry: str
    offset_bytes: int


def find_directory(tiff: bytes) -> Directory | None:
    """Find the first directory; None where the data are damaged."""
    if tiff[:2] not in (b"II", b"MM"):
        return None
    order = _byte_order(tiff)
    sign = "<" if order == "little" else ">"
    is_big = int.from_bytes(tiff[2:4], order) == _BIG_TIFF
    header, number, entry = _LAYOUTS[is_big]
    try:
        (start,) = struct.unpack_from(sign + header, tiff)
        (count,) = struct.unpack_from(sign + number, tiff, start)
    except (struct.error, OverflowError):  # outside the data
        return None
    first = start + struct.calcsize(sign + number)
    size = struct.calcsize(sign + entry)
    whole = min(count, (len(tiff) - first) // size)
    end = first + whole * size
    return Directory(start, sign + number, first, count, end, sign + entry, 8 if is_big else 4)


def _iter_entries(tiff: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield tag, type, count and the value or its offset; nothing where the data are damaged."""
    directory = find_directory(tiff)
    if directory is not None:
        most = _MAX_ENTRIES * struct.calcsize(directory.entry)
        entries = tiff[directory.first : min(directory.end, directory.first + most)]
        yield from struct.iter_unpack(directory.entry, entries)
