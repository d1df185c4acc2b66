"""Bounds what a connection may send before it says anything: heads of requests, and trailers."""

from __future__ import annotations

import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.pipelining import PipeliningProtocol
from app.api.problems import KINDS, problem_response
from app.api.record import STATE_KEY, RequestRecord, request_id_of

MOST_HEAD_BYTES = 64 * 1024
"""Of request line and headers; what other servers take. The parser itself has no limit: 75 MB of
short headers on one connection took 1.1 GB."""

MOST_HEADERS = 256

_TOO_LONG = (
    f"The head of the request exceeds {MOST_HEAD_BYTES:,} bytes or {MOST_HEADERS:,} headers."
)
_NO_HTTP = "The bytes are no request of HTTP/1.1, or one whose length is in doubt."

# Of "name: value" and its end of line.
_HEADER_FRAME_BYTES = 4


class BoundedHeadProtocol(PipeliningProtocol):
    """One connection that is closed, with 400, once a head becomes too long.

    Whoever overrides a callback that something came with, calls ``progressed``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Be told by uvicorn of a connection."""
        super().__init__(*args, **kwargs)
        self._seen_bytes = 0  # of the connection
        self._seen_before_bytes = 0  # without the piece that came last
        self._head_from_bytes = 0  # where the piece begins that the head began in
        self._progressed_at_bytes = 0  # of them, at the last callback
        self._is_too_long = False

    def data_received(self, data: bytes) -> None:
        """Take what has come; a piece in which a head ends or a body goes on counts nothing."""
        self._seen_before_bytes = self._seen_bytes
        self._seen_bytes += len(data)
        super().data_received(data)
        barren_bytes = self._seen_bytes - self._progressed_at_bytes
        # Trailers of a body in chunks are added to the headers.
        has_too_many = self.headers is not None and len(self.headers) > MOST_HEADERS
        is_too_long = barren_bytes > MOST_HEAD_BYTES or has_too_many
        if is_too_long and not self.transport.is_closing():
            self._is_too_long = True
            self.logger.warning(_TOO_LONG)
            self.send_400_response(_TOO_LONG)

    def progressed(self) -> None:
        """Begin to count anew."""
        self._progressed_at_bytes = self._seen_bytes

    def require_short_head(self) -> None:
        """Refuse a head that came with less than would have stopped it; the parser answers 400.

        Raises:
            ValueError: It has more headers than ``MOST_HEADERS``, or more than ``MOST_HEAD_BYTES``.
        """
        # Counted one by one only where what it came in, with a body perhaps, is so long.
        may_be_long = self._seen_bytes - self._head_from_bytes > MOST_HEAD_BYTES
        has_too_many = len(self.headers) > MOST_HEADERS
        if has_too_many or (may_be_long and self._head_bytes() > MOST_HEAD_BYTES):
            self._is_too_long = True
            raise ValueError(_TOO_LONG)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._head_from_bytes = self._seen_before_bytes
        self._progressed_at_bytes = self._seen_bytes
        super().on_message_begin()

    def send_400_response(self, msg: str) -> None:
        """Tell why the connection ends as every other error is told; ``msg`` is the parser's."""
        record = RequestRecord(request_id_of(()), time.perf_counter(), self.loop.time())
        detail = _TOO_LONG if self._is_too_long else _NO_HTTP
        scope = {"state": {STATE_KEY: record}}
        response = problem_response(scope, KINDS["malformed_request"], detail)
        headers = [
            *self.server_state.default_headers,
            *response.raw_headers,
            *record.headers(),
            (b"connection", b"close"),
        ]
        lines = [b"%s: %s\r\n" % header for header in headers]
        content = [STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)]
        self.transport.write(b"".join(content))
        self.transport.close()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(
            len(name) + len(value) + _HEADER_FRAME_BYTES for name, value in self.headers
        )
