"""One connection that sends ready-made requests one at a time and reads whole answers."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import NamedTuple, Self

_CHUNK_BYTES = 65_536
_TIMEOUT_S = 60.0


class Answer(NamedTuple):
    """A response: its status, and its body without any transfer coding."""

    status: int
    body: bytes


class DirectClient:
    """Blocking and without a library between, so that what it measures is the server's time."""

    def __init__(self, host: str, port: int, timeout_s: float = _TIMEOUT_S) -> None:
        """Connect.

        Raises:
            OSError: Nobody listens.
        """
        self._socket = socket.create_connection((host, port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, request: bytes) -> Answer:
        """Send one whole request and return its answer.

        Raises:
            OSError: The connection broke, or the answer took too long.
        """
        self._socket.sendall(request)
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._receive()
        head, self._received = self._received[:end].lower(), self._received[end + 4 :]
        status = int(head[9:12])
        fields = {
            name.strip(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        if fields.get(b"transfer-encoding") == b"chunked":
            return Answer(status, self._chunks())
        return Answer(status, self._take(int(fields.get(b"content-length", b"0"))))

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self._line().partition(b";")[0], 16):
            parts.append(self._take(size))
            self._line()
        while self._line():  # trailers, to the empty line
            pass
        return b"".join(parts)

    def _line(self) -> bytes:
        while (end := self._received.find(b"\r\n")) < 0:
            self._receive()
        line, self._received = self._received[:end], self._received[end + 2 :]
        return line

    def _take(self, length: int) -> bytes:
        while len(self._received) < length:
            self._receive()
        content, self._received = self._received[:length], self._received[length:]
        return content

    def _receive(self) -> None:
        data = self._socket.recv(_CHUNK_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection before its answer was whole")
        self._received += data
