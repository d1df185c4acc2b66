"""Reads of a WebP what must be known before a decoder is made, because that allocates the canvas.

That is its size, and what kind of picture it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_FILE_HEAD_BYTES, _CHUNK_HEAD_BYTES, _FRAME_HEAD_BYTES = 12, 8, 16
_ALPHA, _LOSSLESS = b"ALPH", b"VP8L"
_PICTURE = frozenset({_ALPHA, _LOSSLESS, b"VP8 "})
_KEPT = _PICTURE | {b"VP8X", b"ANIM", b"EXIF"}
_MAX_CHUNKS = 16_384  # one for each frame of an animation
_MAX_FRAME_CHUNKS = 64  # two are of use


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


class FirstPicture(NamedTuple):
    """The first picture of a WebP.

    Attributes:
        size_bytes: Of its chunks.
        is_lossless: Whether a lossless stream is in it, be it of its alpha channel.
    """

    size_bytes: int
    is_lossless: bool


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    content: int
    end: int  # of its padding; at most that of what it stands in


def strip_webp(data: bytes) -> tuple[bytes, FirstPicture]:
    """Drop all chunks that are not needed for the first picture, later frames among them.

    The decoder reads the heads of all chunks when it is made: 20 MB of empty ones take it 100 ms.

    Args:
        data: A WebP file, possibly truncated or corrupt; what is left is as broken as before.

    Returns:
        The file without those chunks (``data`` itself if there were none), and its picture.

    Raises:
        ValueError: More chunks than any encoder writes.
    """
    kept: list[bytes | memoryview] = []
    size_bytes, is_lossless, has_picture = 0, False, False
    view = memoryview(data)
    riff_bytes = int.from_bytes(data[4:8], "little")
    file_end = min(len(data), riff_bytes + 8)  # the decoder looks at nothing behind it either
    for chunk in _chunks(data, _FILE_HEAD_BYTES, file_end, _MAX_CHUNKS):
        pictures = [chunk]
        if chunk.kind == b"ANMF":
            if has_picture:
                continue
            inner = _chunks(data, chunk.content + _FRAME_HEAD_BYTES, chunk.end, _MAX_FRAME_CHUNKS)
            pictures = [part for part in inner if part.kind in _PICTURE]
            kept.append(_frame(data, chunk, pictures))
        elif chunk.kind in _KEPT:
            kept.append(view[chunk.start : chunk.end])
        for part in pictures:
            if part.kind in _PICTURE and not has_picture:
                size_bytes += part.end - part.content
                has_picture = part.kind != _ALPHA
                is_lossless |= part.kind == _LOSSLESS or (
                    part.kind == _ALPHA and data[part.content : part.content + 1] > b"\0"
                    and data[part.content] & 3 != 0
                )  # fmt: skip
    picture = FirstPicture(size_bytes, is_lossless)
    dropped = file_end - _FILE_HEAD_BYTES - sum(map(len, kept))
    if dropped <= 0:
        return data, picture
    left_bytes = max(riff_bytes - dropped, 0)
    head = data[:4] + left_bytes.to_bytes(4, "little") + data[8:_FILE_HEAD_BYTES]
    return b"".join([head, *kept]), picture


def _chunks(data: bytes, start: int, end: int, limit: int) -> Iterator[_Chunk]:
    for _ in range(limit):
        content = start + _CHUNK_HEAD_BYTES
        if content > end:
            return
        length = int.from_bytes(data[start + 4 : content], "little")
        next_start = min(content + length + length % 2, end)
        yield _Chunk(data[start : start + 4], start, content, next_start)
        start = next_start
    raise ValueError(f"it has more than {limit:,} chunks")


def _frame(data: bytes, frame: _Chunk, pictures: list[_Chunk]) -> bytes:
    """Return a frame with nothing in it but its picture."""
    head = data[frame.content : frame.content + _FRAME_HEAD_BYTES]
    content = b"".join([head, *(data[part.start : part.end] for part in pictures)])
    dropped = frame.end - frame.content - len(content)
    length = max(int.from_bytes(data[frame.start + 4 : frame.content], "little") - dropped, 0)
    return frame.kind + length.to_bytes(4, "little") + content
