"""Removes from a JPEG what no pixel depends on, bounds its scans, reads its header.

Pillow appends EXIF segments to each other in quadratic time, holding the interpreter lock: two
megabytes of them stop the process for more than a second, an upload of 20 MB for minutes. It
also parses EXIF, ICC, Photoshop and XMP blocks that nothing here uses.
"""

from __future__ import annotations

import re
import struct
from itertools import islice
from typing import NamedTuple

# Walking segments holds the interpreter lock, some microseconds for each. The most that can be
# needed are a few hundred, of 64 KiB each, for embedded profiles and depth maps.
_MAX_SEGMENTS = 4_096

# Pillow reads each number of a quantisation table in Python: 15 MB of them take half a second.
# Sixteen tables, of all kinds, need 4 kB.
_MAX_TABLES_BYTES = 262_144

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_APP1 = 0xE1

# Frames, tables and restart intervals; JFIF and Adobe, which tell the decoder the colour space.
_KEPT = frozenset(range(0xC0, 0xD0)) - {0xC8} | frozenset(range(0xDB, 0xE0)) | {0xE0, 0xEE}

# TEM, RST0..RST7, SOI, EOI: markers without a length.
_STANDALONE = frozenset({0x01, *range(0xD0, 0xDA)})

# Each scan of a progressive JPEG is a pass over the whole image, however few bytes it has: an
# upload of 20 MB could ask for two hours. Encoders write about ten; libtiff stops at 100 too.
_MAX_SCANS = 100

# A marker inside entropy-coded data: neither a stuffed byte, nor a restart, nor filling.
_marker = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_scan_start = re.compile(rb"\xff\xda")

# Of an ordinary file: baseline, extended and progressive frames; Huffman and quantisation tables,
# restart interval. JFIF and Adobe segments that are too short for their first fields are none.
_PLAIN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_PLAIN_TABLES = frozenset({0xC4, 0xDB, 0xDD})
_PLAIN_METADATA = frozenset({*range(0xE0, 0xF0), 0xFE})
_LEAST_PLAIN_METADATA_BYTES = 9
_PLAIN_MODES = {1: "L", 3: "RGB"}  # by number of components
_MAX_PLAIN_SEGMENTS = 64
_segment_head = struct.Struct(">BBH")
_frame = struct.Struct(">BHHB")  # bits, height, width, components


class PlainJpeg(NamedTuple):
    """Header of an ordinary JPEG: 8 bits, grey or three components.

    Attributes:
        mode: Pillow's, ``L`` or ``RGB``.
        size: Width and height, px, not checked.
        exif: The first EXIF block.
    """

    mode: str
    size: tuple[int, int]
    exif: bytes | None


def read_plain_jpeg(data: bytes) -> PlainJpeg | None:
    """Read the header of an ordinary JPEG, strictly.

    The size must be the one that libjpeg will find, which writes rows of its own width: there is
    one frame, and nothing stands between the segments that one reader could see otherwise than
    the other.

    Returns:
        None for whatever is not ordinary, damaged headers among them.

    Raises:
        ValueError: More scans than any encoder writes.
    """
    frame, exif = None, None
    position = 2
    for _ in range(_MAX_PLAIN_SEGMENTS):
        if position + _segment_head.size > len(data):
            return None
        filling, marker, length = _segment_head.unpack_from(data, position)
        content, end = position + _segment_head.size, position + 2 + length
        if filling != 0xFF or length < 2 or end > len(data):
            return None
        if marker == _START_OF_SCAN:
            _check_scans(data, position)
            return PlainJpeg(*frame, exif) if frame else None
        if marker in _PLAIN_FRAMES:
            frame = None if frame else _read_plain_frame(data[content:end])
            if frame is None:
                return None
        elif marker in _PLAIN_METADATA and length >= _LEAST_PLAIN_METADATA_BYTES:
            if marker == _APP1 and exif is None and data.startswith(b"Exif\0\0", content):
                exif = data[content:end]
        elif marker not in _PLAIN_TABLES:
            return None
        position = end
    return None


def _read_plain_frame(content: bytes) -> tuple[str, tuple[int, int]] | None:
    if len(content) < _frame.size:
        return None
    bits, height, width, components = _frame.unpack_from(content)
    if bits != 8 or components not in _PLAIN_MODES:
        return None
    return _PLAIN_MODES[components], (width, height)


def strip_jpeg(data: bytes) -> tuple[bytes, bytes | None]:
    """Drop all segments before the first scan that carry no pixels.

    Args:
        data: A JPEG file, possibly truncated or corrupt; what is left is as broken as before.

    Returns:
        The file without those segments (``data`` itself if there were none), and the first
        EXIF block.

    Raises:
        ValueError: More segments, tables or scans than any encoder writes.
    """
    parts: list[bytes] = []
    exif = None
    tables_bytes = 0
    start, position = 0, 2
    for _ in range(_MAX_SEGMENTS):
        if position + 1 >= len(data):
            break
        marker = data[position + 1]
        if data[position] != 0xFF or marker in (0x00, 0xFF):  # junk, or filling before a marker
            parts.append(data[start:position])
            start = position = _next_marker(data, position)
        elif marker == _START_OF_SCAN:
            _check_scans(data, position)
            break
        else:
            end = _segment_end(data, position)
            if marker in _KEPT:
                tables_bytes += end - position
                if tables_bytes > _MAX_TABLES_BYTES:
                    raise ValueError(f"it has more than {_MAX_TABLES_BYTES:,} bytes of tables")
            else:
                if marker == _APP1 and exif is None and data.startswith(b"Exif\0\0", position + 4):
                    exif = data[position + 4 : end]
                parts.append(data[start:position])
                start = end
            position = end
    else:
        raise ValueError(f"it has more than {_MAX_SEGMENTS:,} segments")
    if not parts:
        return data, exif
    # A view, because most of a large file is in this last part: it is copied once.
    return b"".join([*parts, memoryview(data)[start:]]), exif


def _next_marker(data: bytes, position: int) -> int:
    found = _marker.search(data, position)
    return found.start() if found else len(data)


def _segment_end(data: bytes, position: int) -> int:
    if data[position + 1] in _STANDALONE:
        return position + 2
    length = int.from_bytes(data[position + 2 : position + 4], "big")
    return position + 2 + max(length, 2)


def _check_scans(data: bytes, position: int) -> None:
    # Counting is quick but also counts what follows the image, such as the video of a "motion
    # photo"; only a file that looks guilty is read marker by marker. The lock is held meanwhile,
    # and the pattern takes half as long as bytes.count: 0.3 ms for a megabyte.
    starts = _scan_start.finditer(data, position)
    if sum(1 for _ in islice(starts, _MAX_SCANS + 1)) <= _MAX_SCANS:
        return
    scans = 0
    while (found := _marker.search(data, position)) and data[found.start() + 1] != _END_OF_IMAGE:
        position = found.start()
        scans += data[position + 1] == _START_OF_SCAN
        if scans > _MAX_SCANS:
            raise ValueError(f"it has more than {_MAX_SCANS} scans")
        position = _segment_end(data, position)
