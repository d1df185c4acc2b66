"""Removes from a PNG what no pixel depends on, before Pillow reads it.

Pillow inflates every text and colour profile chunk up to 1 MiB each, the profiles without a
limit on their sum: half a megabyte of them costs half a second, an upload of 20 MB a quarter of
a minute. Animation chunks go too, so that an animated PNG is its default image.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

_SIGNATURE_BYTES = 8
_CHUNK_OVERHEAD_BYTES = 12  # length, kind and checksum
_PALETTES = frozenset({b"PLTE", b"tRNS"})
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_BIT_DEPTH_AT, _COLORS_AT = 24, 25  # of IHDR, which must come first
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_MOST_SAMPLES = 4

# Walking chunks holds the interpreter lock, about a microsecond for each. An encoder that
# starts a chunk for every row of an image stays below this.
_MAX_CHUNKS = 65_536
# Pillow reads palette and transparency anew each time they come; once each is right.
_MAX_PALETTES = 16

_chunk_head = struct.Struct(">I4s")

# Signature and first chunk of every file that is as it should be, up to the fields of the header.
_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_header = struct.Struct(">IIBBBBBI")  # width, height, depth, colours, three methods, checksum
_HEADER_END = len(_START) + _header.size
_PLAIN_MODES = {0: "L", 2: "RGB", 4: "LA", 6: "RGBA"}  # by colour type; 3 is a palette
_MAX_PLAIN_CHUNKS = 64


class PlainPng(NamedTuple):
    """What is needed to decode an ordinary PNG: 8 bits, no palette, not interlaced.

    Attributes:
        mode: Pillow's, ``L``, ``RGB``, ``LA`` or ``RGBA``.
        size: Width and height, px, as the header states them: any, but not checked.
        parts: The zlib stream of the filtered rows, as the ``IDAT`` chunks divide it; none empty.
        exif: Content of the last ``eXIf`` chunk.
    """

    mode: str
    size: tuple[int, int]
    parts: list[bytes]
    exif: bytes | None


def strip_png(data: bytes) -> tuple[bytes, bytes | None]:
    """Drop all chunks that carry no pixels.

    Args:
        data: A PNG file, possibly truncated or corrupt; what is left is as broken as before.

    Returns:
        The file without those chunks (``data`` itself if there were none), and the content of
        the last ``eXIf`` chunk.

    Raises:
        ValueError: More chunks than any encoder writes.
    """
    parts: list[bytes] = []
    exif = None
    palettes = 0
    start = position = _SIGNATURE_BYTES
    for _ in range(_MAX_CHUNKS):
        if position + _chunk_head.size > len(data):
            break
        length, kind = _chunk_head.unpack_from(data, position)
        end = position + _CHUNK_OVERHEAD_BYTES + length
        if kind not in _KEPT:
            if kind == b"eXIf":
                exif = data[position + _chunk_head.size : end - 4]
            parts.append(data[start:position])
            start = end
        elif kind == b"IEND":
            break
        elif kind in _PALETTES:
            palettes += 1
            if palettes > _MAX_PALETTES:
                raise ValueError(f"it has more than {_MAX_PALETTES} palettes")
        position = end
    else:
        raise ValueError(f"it has more than {_MAX_CHUNKS:,} chunks")
    if not parts:
        return data, exif
    # A view, because most of a large file is in this last part: it is copied once.
    return b"".join([data[:_SIGNATURE_BYTES], *parts, memoryview(data)[start:]]), exif


def read_bit_depth(data: bytes) -> int:
    """Return the bits per sample that the header of a PNG states."""
    return data[_BIT_DEPTH_AT]


def read_bits_per_pixel(data: bytes) -> int:
    """Return the bits per pixel that the header of a PNG states."""
    return data[_BIT_DEPTH_AT] * _SAMPLES.get(data[_COLORS_AT], _MOST_SAMPLES)


def read_plain_png(data: bytes) -> PlainPng | None:
    """Take an ordinary PNG apart, strictly; chunks that carry no pixels are not looked at.

    As Pillow, it verifies the checksum of the header and of nothing else.

    Returns:
        None for whatever is not ordinary, damaged files among them.
    """
    if not data.startswith(_START) or len(data) < _HEADER_END:
        return None
    width, height, depth, colors, compression, filtering, interlace, checksum = _header.unpack_from(
        data, len(_START)
    )
    if (depth, compression, filtering, interlace) != (8, 0, 0, 0) or colors not in _PLAIN_MODES:
        return None
    if zlib.crc32(data[_SIGNATURE_BYTES + 4 : _HEADER_END - 4]) != checksum:
        return None
    chunks = _read_plain_chunks(data)
    return PlainPng(_PLAIN_MODES[colors], (width, height), *chunks) if chunks else None


def _read_plain_chunks(data: bytes) -> tuple[list[bytes], bytes | None] | None:
    """Return the contents of ``IDAT`` and that of ``eXIf``; None if it is not ordinary."""
    parts: list[bytes] = []
    exif = None
    position = _HEADER_END
    for _ in range(_MAX_PLAIN_CHUNKS):
        if position + _CHUNK_OVERHEAD_BYTES > len(data):
            return None
        length, kind = _chunk_head.unpack_from(data, position)
        start = position + _chunk_head.size
        position = start + length + 4
        if position > len(data):
            return None
        if kind == b"IDAT":
            if length:
                parts.append(data[start : start + length])
        elif kind == b"IEND":
            return parts, exif
        elif kind in _KEPT:  # a palette, transparency, or a second header
            return None
        elif kind == b"eXIf":
            exif = data[start : start + length]
    return None
