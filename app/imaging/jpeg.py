"""Removes from a JPEG what no pixel depends on, and bounds its scans.

Pillow appends EXIF segments to each other in quadratic time, holding the interpreter lock: two
megabytes of them stop the process for more than a second, an upload of 20 MB for minutes. It
also parses EXIF, ICC, Photoshop and XMP blocks that nothing here uses.
"""

from __future__ import annotations

import re

# Walking segments holds the interpreter lock, some microseconds for each. The most that can be
# needed are a few hundred, of 64 KiB each, for embedded profiles and depth maps.
_MAX_SEGMENTS = 4_096

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


def strip_jpeg(data: bytes) -> tuple[bytes, bytes | None]:
    """Drop all segments before the first scan that carry no pixels.

    Args:
        data: A JPEG file, possibly truncated or corrupt; what is left is as broken as before.

    Returns:
        The file without those segments (``data`` itself if there were none), and the first
        EXIF block.

    Raises:
        ValueError: More segments or scans than any encoder writes.
    """
    parts: list[bytes] = []
    exif = None
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
            if marker not in _KEPT:
                if marker == _APP1 and exif is None and data.startswith(b"Exif\0\0", position + 4):
                    exif = data[position + 4 : end]
                parts.append(data[start:position])
                start = end
            position = end
    else:
        raise ValueError(f"it has more than {_MAX_SEGMENTS:,} segments")
    if not parts:
        return data, exif
    return b"".join([*parts, data[start:]]), exif


def _next_marker(data: bytes, position: int) -> int:
    found = _marker.search(data, position)
    return found.start() if found else len(data)


def _segment_end(data: bytes, position: int) -> int:
    if data[position + 1] in _STANDALONE:
        return position + 2
    length = int.from_bytes(data[position + 2 : position + 4], "big")
    return position + 2 + max(length, 2)


def _check_scans(data: bytes, position: int) -> None:
    # Counting the bytes takes microseconds but also counts what follows the image, such as the
    # video of a "motion photo"; only a file that looks guilty is read marker by marker.
    if data.count(b"\xff\xda", position) <= _MAX_SCANS:
        return
    scans = 0
    while (found := _marker.search(data, position)) and data[found.start() + 1] != _END_OF_IMAGE:
        position = found.start()
        scans += data[position + 1] == _START_OF_SCAN
        if scans > _MAX_SCANS:
            raise ValueError(f"it has more than {_MAX_SCANS} scans")
        position = _segment_end(data, position)
