"""Removes from a PNG what no pixel depends on, before Pillow reads it.

Pillow inflates every text and colour profile chunk up to 1 MiB each, the profiles without a
limit on their sum: half a megabyte of them costs half a second, an upload of 20 MB a quarter of
a minute. Animation chunks go too, so that an animated PNG is its default image.
"""

from __future__ import annotations

import struct

_SIGNATURE_BYTES = 8
_CHUNK_OVERHEAD_BYTES = 12  # length, kind and checksum
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_BIT_DEPTH_AT = 24  # of IHDR, which must come first

# Walking chunks holds the interpreter lock, about a microsecond for each. An encoder that
# starts a chunk for every row of an image stays below this.
_MAX_CHUNKS = 65_536

_chunk_head = struct.Struct(">I4s")


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
        position = end
    else:
        raise ValueError(f"it has more than {_MAX_CHUNKS:,} chunks")
    if not parts:
        return data, exif
    return b"".join([data[:_SIGNATURE_BYTES], *parts, data[start:]]), exif


def read_bit_depth(data: bytes) -> int:
    """Return the bits per sample that the header of a PNG states."""
    return data[_BIT_DEPTH_AT]
