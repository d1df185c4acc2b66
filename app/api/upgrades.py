"""Requests that offer another protocol: they are answered in this one, as if they had not."""

from __future__ import annotations

import contextlib
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_UPGRADE = b"upgrade"
_INVALID = "Invalid HTTP request received."


class OneProtocol(HttpToolsProtocol):
    """One connection that stays with HTTP/1.1, whatever its client offers.

    Clients that know HTTP/2 offer it with their first request, also with one that has a body
    (``Upgrade: h2c``); whoever does not take the offer answers as usual. The parser stops at such a
    head and reads nothing behind it: the image would be lost, and so would every request that
    follows. The head is therefore read a second time, by another parser and without the offer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Be told by uvicorn of a connection."""
        super().__init__(*args, **kwargs)
        self._is_set_aside = False  # the head that the parser has stopped at

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        rest: bytes | memoryview = data
        is_read = False
        try:
            while not is_read:  # and not by calling itself: a piece may have thousands of offers
                try:
                    self.parser.feed_data(rest)
                    is_read = True
                except httptools.HttpParserUpgrade as stop:
                    rest = memoryview(rest)[stop.args[0] :]
                    self._read_head_again()
        except httptools.HttpParserError:
            self.logger.warning(_INVALID)
            self.send_400_response(_INVALID)

    def on_headers_complete(self) -> None:
        """Begin a request, unless its head is to be read again.

        Raises:
            ValueError: It asks for a tunnel, which there is none of.
        """
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self.parser.get_method() == b"CONNECT":
            raise ValueError("no tunnels here")
        else:
            self._is_set_aside = True

    def on_message_complete(self) -> None:
        """End a request; of one that was set aside, nothing has been read but its head."""
        if not self._is_set_aside:
            super().on_message_complete()

    def _read_head_again(self) -> None:
        self._is_set_aside = False
        start = b"%s %s HTTP/%s\r\n" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode("ascii"),
        )
        kept = [b"%s: %s\r\n" % header for header in self.headers if header[0] != _UPGRADE]
        self.parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(AttributeError):  # as uvicorn does: httptools before 0.6.3
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"".join([start, *kept, b"\r\n"]))
