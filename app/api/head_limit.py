"""Bounds what a connection may send before it says anything: heads of requests, and trailers."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
"""Of request line and headers; what other servers take. The parser itself has no limit: 75 MB of
short headers on one connection took 1.1 GB."""

MOST_HEADERS = 256

_TOO_LONG = f"The head of the request exceeds {MOST_HEAD_BYTES} bytes or {MOST_HEADERS} headers."


class BoundedHeadProtocol(HttpToolsProtocol):
    """One connection that is closed, with 400, once a head becomes too long.

    Whoever overrides a callback that something came with, calls ``progressed``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Be told by uvicorn of a connection."""
        super().__init__(*args, **kwargs)
        self._barren_bytes = 0  # that have come since the last callback

    def data_received(self, data: bytes) -> None:
        """Take what has come; a piece in which a head ends or a body goes on counts nothing."""
        self._barren_bytes += len(data)
        super().data_received(data)
        is_too_long = self._barren_bytes > MOST_HEAD_BYTES or self._has_too_many_headers()
        if is_too_long and not self.transport.is_closing():
            self.logger.warning(_TOO_LONG)
            self.send_400_response(_TOO_LONG)

    def progressed(self) -> None:
        """Begin to count anew."""
        self._barren_bytes = 0

    def require_few_headers(self) -> None:
        """Refuse a head that came in one piece; the parser's caller answers 400.

        Raises:
            ValueError: It has more headers than ``MOST_HEADERS``.
        """
        if self._has_too_many_headers():
            raise ValueError(_TOO_LONG)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._barren_bytes = 0
        super().on_message_begin()

    def _has_too_many_headers(self) -> bool:
        # Trailers of a body in chunks are added to them.
        return self.headers is not None and len(self.headers) > MOST_HEADERS
