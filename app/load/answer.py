"""As much of an HTTP/1.1 answer as a measurement needs: its status, and where it ends."""

from __future__ import annotations

import math

_LENGTH = b"\r\ncontent-length:"
_CODING = b"\r\ntransfer-encoding:"
_CONNECTION = b"\r\nconnection:"
_RETRY_AFTER = b"\r\nretry-after:"

MOST_HEAD_BYTES = 65_536
"""Of a head, or of a line between chunks: what sends more is no HTTP server."""

REFUSALS = (429, 503)
"""Statuses with which a server says that it cannot take the request now."""

_HEAD, _LENGTH_KNOWN, _CHUNKS, _UNTIL_CLOSED = range(4)
_BODILESS = (204, 304)


class AnswerError(Exception):
    """What arrived is no HTTP/1.1 answer, or is more than one."""


class AnswerReader:
    """Reads the answers of one connection, one after the other.

    The body is counted and not kept. One answer at a time: requests are not pipelined.

    Attributes:
        status: Of the answer that was completed last.
        keeps_alive: Whether the connection may carry another request after it.
        retry_after_s: What a refusal says in whole seconds; NaN where it does not.
    """

    def __init__(self) -> None:
        """Expect the head of the first answer."""
        self.status = 0
        self.keeps_alive = True
        self.retry_after_s = math.nan
        self._state = _HEAD
        self._kept = b""  # the part of a head, or between chunks, that is not whole yet
        self._left = 0  # bytes of the body, or of the chunk with its line end, still to come
        self._in_trailer = False

    def feed(self, data: bytes) -> bool:
        """Take what has arrived; tell whether the answer is complete.

        Raises:
            AnswerError: It cannot be understood; the connection is of no use any more.
        """
        if self._state == _HEAD:
            if self._kept:
                data = self._kept + data
            rest_at = self._read_head(data)
            if rest_at < 0:
                return False
            if self._state == _LENGTH_KNOWN:  # nearly every answer: no copy of its body
                return self._count(len(data) - rest_at)
            data = data[rest_at:]
        if self._state == _LENGTH_KNOWN:
            return self._count(len(data))
        return self._state == _CHUNKS and self._read_chunks(data)

    def end(self) -> bool:
        """Take that the server has closed its side; tell whether that completes the answer."""
        is_complete = self._state == _UNTIL_CLOSED
        if is_complete:
            self._state = _HEAD
        return is_complete

    def _count(self, arrived: int) -> bool:
        self._left -= arrived
        if self._left > 0:
            return False
        if self._left < 0:
            raise AnswerError(f"{-self._left} bytes more than the answer's length")
        self._state = _HEAD
        return True

    def _read_head(self, data: bytes) -> int:
        """Read a head; return where what follows it begins, or -1 while it is not whole."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > MOST_HEAD_BYTES:
                raise AnswerError(f"a head of more than {MOST_HEAD_BYTES:,} bytes")
            self._kept = data
            return -1
        self._kept = b""
        head = data[: end + 2].lower()
        status = head[9:12]
        if not head.startswith(b"http/1.") or not status.isdigit():
            raise AnswerError(f"no HTTP/1.1 answer: {data[:40]!r}")
        self.status = int(status)
        if 100 <= self.status < 200:  # what comes before the answer; the answer follows
            rest_at = self._read_head(data[end + 4 :])
            return rest_at if rest_at < 0 else rest_at + end + 4
        self._read_fields(head)
        return end + 4

    def _read_fields(self, head: bytes) -> None:
        connection = _field(head, _CONNECTION)
        self.keeps_alive = connection != b"close" and (
            head.startswith(b"http/1.1") or connection == b"keep-alive"
        )
        if self.status in REFUSALS:
            seconds = _field(head, _RETRY_AFTER)
            self.retry_after_s = float(seconds) if seconds and seconds.isdigit() else math.nan
        length = _field(head, _LENGTH)
        if self.status in _BODILESS:
            self._state, self._left = _LENGTH_KNOWN, 0
        elif (_field(head, _CODING) or b"").endswith(b"chunked"):
            self._state, self._left, self._in_trailer = _CHUNKS, 0, False
        elif length is not None:
            if not length.isdigit():
                raise AnswerError(f"Content-Length is {length!r}")
            self._state, self._left = _LENGTH_KNOWN, int(length)
        else:
            self._state, self.keeps_alive = _UNTIL_CLOSED, False

    def _read_chunks(self, data: bytes) -> bool:
        data, at = self._kept + data, 0
        while True:
            skipped = min(self._left, len(data) - at)
            self._left -= skipped
            at += skipped
            line_end = data.find(b"\r\n", at)
            if self._left or line_end < 0:
                break
            line = data[at:line_end]
            at = line_end + 2
            if self._in_trailer:
                if not line:  # the empty line behind the last chunk, and behind trailers
                    return self._end_of_chunks(len(data) - at)
                continue
            self._left = _chunk_size(line)
            self._in_trailer = self._left == 0
            self._left += 2 if self._left else 0  # each chunk but the last has a line end
        self._kept = data[at:]
        if len(self._kept) > MOST_HEAD_BYTES:
            raise AnswerError(f"no line end in {MOST_HEAD_BYTES:,} bytes between chunks")
        return False

    def _end_of_chunks(self, surplus: int) -> bool:
        if surplus:
            raise AnswerError(f"{surplus} bytes more than the answer's chunks")
        self._kept = b""
        self._state = _HEAD
        return True


def _field(head: bytes, name: bytes) -> bytes | None:
    at = head.find(name)
    if at < 0:
        return None
    at += len(name)
    return head[at : head.index(b"\r\n", at)].strip()


def _chunk_size(line: bytes) -> int:
    try:
        size = int(line.partition(b";")[0], 16)
    except ValueError:
        size = -1
    if size < 0:
        raise AnswerError(f"the size of a chunk is {line[:40]!r}")
    return size
