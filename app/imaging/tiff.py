"""Removes from a TIFF what no pixel depends on, and bounds the rest, before Pillow reads it.

Pillow makes Python objects of some tags: 15 MB of resolutions cost it two seconds. It also reads
the directories of EXIF and GPS blocks and of the next page, and turns the image before it is
small.
"""

from __future__ import annotations

import struct

from app.imaging.directory import find_directory

_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES = 273, 279, 324, 325
_COLOR_MAP, _JPEG_TABLES = 320, 347

# What pixels are made of: size, samples, compression, fax options, places of strips and tiles,
# predictor, palette, YCbCr. The orientation is none of them: whoever strips has read it.
_KEPT = frozenset(
    {256, 257, 258, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 338, 339, 529, 530, 531,
     532, _STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES, _COLOR_MAP, _JPEG_TABLES}
)  # fmt: skip

# Pillow keeps a record of each strip or tile, and reads up to 64 KiB for each, whatever its
# size. One strip per row stays below this for all but the oddest shapes.
_MAX_TILES = 65_536
_MAX_VALUES = {
    _STRIP_OFFSETS: _MAX_TILES,
    _STRIP_BYTES: _MAX_TILES,
    _TILE_OFFSETS: _MAX_TILES,
    _TILE_BYTES: _MAX_TILES,
    _COLOR_MAP: 3 * 65_536,
    _JPEG_TABLES: 65_536,
}
_MAX_OTHER_VALUES = 64  # of a tag with one value per sample; images have five samples at most

# Cameras and scanners write some dozens.
_MAX_ENTRIES = 4_096


def strip_tiff(data: bytes) -> bytes:
    """Drop all tags of the first directory that carry no pixels, and all later directories.

    Args:
        data: A TIFF file, possibly truncated or corrupt; what is left is as broken as before.

    Returns:
        The file with a shorter directory in the same place, everything else where it was;
        ``data`` itself if its directory cannot be found.

    Raises:
        ValueError: More entries, or more values of one tag, than any encoder writes.
    """
    directory = find_directory(data)
    if directory is None:
        return data
    if directory.count > _MAX_ENTRIES:
        raise ValueError(
            f"its directory has {directory.count:,} entries; the limit is {_MAX_ENTRIES:,}"
        )
    kept: dict[int, bytes] = {}
    size = struct.calcsize(directory.entry)
    for position in range(directory.first, directory.end, size):
        tag, _, count, _ = struct.unpack_from(directory.entry, data, position)
        if tag in _KEPT and tag not in kept:  # of several, readers take the first
            _check_count(tag, count)
            kept[tag] = data[position : position + size]
    number = struct.pack(directory.number, len(kept))
    room = directory.first + directory.count * size + directory.offset_bytes - directory.start
    # The place of the next directory, which follows, becomes zero: there is none.
    stripped = b"".join([number, *kept.values()]).ljust(room, b"\0")
    end = min(directory.start + room, len(data))
    stripped = stripped[: end - directory.start]
    return b"".join([data[: directory.start], stripped, memoryview(data)[end:]])


def _check_count(tag: int, count: int) -> None:
    limit = _MAX_VALUES.get(tag, _MAX_OTHER_VALUES)
    if count > limit:
        what = "tiles" if limit == _MAX_TILES else f"values of tag {tag}"
        raise ValueError(f"it has {count:,} {what}; the limit is {limit:,}")
