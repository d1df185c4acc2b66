"""Reads the size of a WebP before a decoder is made, because making it allocates the canvas."""

from __future__ import annotations


def read_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in px as the first chunk of a WebP file states them.

    The layouts are those of the WebP container specification. None stands for a header that
    is cut off or of another kind; the decoder will refuse it.
    """
    kind, head = data[12:16], data[20:30]
    if len(head) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
        return width & 0x3FFF, height & 0x3FFF
    return None
