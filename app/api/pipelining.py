"""Several requests that one connection sends without waiting: which of them is being answered."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.api.upgrades import OneProtocol


class PipeliningProtocol(OneProtocol):
    """One connection that tells the request which is being answered when its client has left.

    Uvicorn tells the one that came last. The one before it, which others wait behind, would be
    answered into a connection that is closed: on uvloop that raises, and a client that leaves would
    be counted and logged as a fault of the server, once for each time.

    Leave: who is being answered, and who came last, are told; those between have not begun, and
        never do.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Be told by uvicorn of a connection."""
        super().__init__(*args, **kwargs)
        self._first: RequestResponseCycle | None = None  # being answered, with others behind it

    def connection_lost(self, exc: Exception | None) -> None:
        """Have what is under way end."""
        self.note_left()
        super().connection_lost(exc)

    def note_left(self) -> None:
        """Tell the requests of this connection that nobody reads their answers."""
        for cycle in (self._first, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def on_headers_complete(self) -> None:
        """Begin a request, or have it wait for those before it."""
        before = self.cycle
        super().on_headers_complete()
        if self.pipeline and self._first is None:
            self._first = before

    def on_response_complete(self) -> None:
        """Begin the next one that waits."""
        self._first = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
