"""Reads of a WebP what must be known before a decoder is made, because that allocates the canvas.

That is its size, and what kind of picture it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from app.imaging import vp8l

_FILE_HEAD_BYTES, _CHUNK_HEAD_BYTES, _FRAME_HEAD_BYTES = 12, 8, 16
_ALPHA, _LOSSLESS = b"ALPH", b"VP8L"
_PICTURE = frozenset({_ALPHA, _LOSSLESS, b"VP8 "})
_KEPT = _PICTURE | {b"VP8X", b"ANIM", b"EXIF"}
_LOSSY_HEAD_BYTES = 10
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
        colors: Its lossless stream; None where it is a lossy one.
        alpha: The lossless stream of its alpha channel, if there is one.
        head: First bytes of its lossy stream; empty where it is a lossless one.
    """

    size_bytes: int = 0
    colors: memoryview | None = None
    alpha: memoryview | None = None
    head: bytes = b""

    @property
    def is_lossless(self) -> bool:
        """Whether a lossless stream is in it, be it of its alpha channel."""
        return self.colors is not None or self.alpha is not None

    def count_tables(self) -> int | None:
        """Return how many sets of tables of codes it brings; None where that is not to be told."""
        if self.colors is not None:
            return vp8l.count_tables(self.colors)
        if self.alpha is None:
            return 0
        width, height = (int.from_bytes(self.head[at : at + 2], "little") for at in (6, 8))
        return vp8l.count_alpha_tables(self.alpha, width & 0x3FFF, height & 0x3FFF)


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
    found: list[_Chunk] = []  # of the first picture, which ends with the first that is no alpha
    view = memoryview(data)
    riff_bytes = int.from_bytes(data[4:8], "little")
    file_end = min(len(data), riff_bytes + 8)  # the decoder looks at nothing behind it either
    for chunk in _chunks(data, _FILE_HEAD_BYTES, file_end, _MAX_CHUNKS):
        is_whole = bool(found) and found[-1].kind != _ALPHA
        if chunk.kind == b"ANMF":
            if is_whole:
                continue
            inner = _chunks(data, chunk.content + _FRAME_HEAD_BYTES, chunk.end, _MAX_FRAME_CHUNKS)
            parts = [part for part in inner if part.kind in _PICTURE]
            kept.append(_frame(data, chunk, parts))
            found += parts
        elif chunk.kind in _KEPT:
            kept.append(view[chunk.start : chunk.end])
            if chunk.kind in _PICTURE and not is_whole:
                found.append(chunk)
    picture = _picture(view, found)
    dropped = file_end - _FILE_HEAD_BYTES - sum(map(len, kept))
    if dropped <= 0:
        return data, picture
    left_bytes = max(riff_bytes - dropped, 0)
    head = data[:4] + left_bytes.to_bytes(4, "little") + data[8:_FILE_HEAD_BYTES]
    return b"".join([head, *kept]), picture


def _picture(view: memoryview, parts: list[_Chunk]) -> FirstPicture:
    colors = alpha = None
    head = b""
    for part in parts:
        content = view[part.content : part.end]
        if part.kind == _LOSSLESS:
            colors = content
        elif part.kind == _ALPHA and len(content) and content[0] & 3:
            alpha = content[1:]
        elif part.kind != _ALPHA:
            head = bytes(content[:_LOSSY_HEAD_BYTES])
    return FirstPicture(sum(part.end - part.content for part in parts), colors, alpha, head)


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
