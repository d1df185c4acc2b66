"""Uvicorn's side of a connection, with gate and express lane asked before a request is begun."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.admission import PATH
from app.api.express import ExpressLane, ExpressRequest
from app.api.gate import METHOD, RefusalGate
from app.api.slow_clients import PatientProtocol
from app.api.written import WrittenResponse, write_response
from app.patience import PatiencePolicy

_METHOD = METHOD.encode("ascii")
_EXPRESS_PATH = PATH.encode("ascii")

HOLD_S = 0.02
"""For so long the body of a request is waited for before it is begun as any other.

Clients that send head and body apart send them within a millisecond of each other.
"""

MOST_URL_BYTES = 8192
"""Longer ones are left to uvicorn, which refuses the longest; none of ours needs a tenth of it."""


class _AnsweredCycle:
    """Stands for a request that was answered without uvicorn.

    The protocol asks it what it asks the last request of a connection; told that the response is
    complete, it drops the rest of the body and takes the next request. It has no state: there is
    one for all connections.
    """

    response_complete = True

    @property
    def message_event(self) -> _AnsweredCycle:
        return self

    def set(self) -> None:
        """Wake nobody: no task waits."""


_ANSWERED: Any = _AnsweredCycle()


class _StandingHeaders:
    """The headers that every answer begins with, written once a second and not for each of them.

    There is one for all connections.
    """

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._text = b""

    def text(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return headers as they are sent; ``headers`` is another list when they change."""
        if headers is not self._headers:
            self._headers = headers
            self._text = b"".join([b"%s: %s\r\n" % header for header in headers])
        return self._text


class GatedProtocol(PatientProtocol):
    """One connection, on which requests may be refused or answered without a task.

    Refuse: what the gate refuses is answered at once, in one piece, if nothing on the connection
        waits for its own answer; with a request before it under way, it waits for its turn. The
        connection stays, and the unread body is dropped as it comes.
    Classify: of what the express lane is open to, the body is waited for, ``HOLD_S`` at most; then
        it is begun there, or goes the way of every request, its time running from its head on.
        While others are refused, it may have to wait for a later turn of the event loop. If its
        client leaves it ends, also with requests behind it.
    Leave: all that needs more than that is left to uvicorn: other versions of HTTP, ends of
        connections, upgrades, clients that ask before they send or do not read their answers.
    """

    def __init__(
        self,
        *args: Any,
        gate: RefusalGate,
        lane: ExpressLane,
        standing: _StandingHeaders,
        hold_s: float = HOLD_S,
        **kwargs: Any,
    ) -> None:
        """Be told by uvicorn of a connection; ``gate`` and ``lane`` are the application's."""
        super().__init__(*args, **kwargs)
        self._gate = gate
        self._lane = lane
        self._standing = standing
        self._hold_s = hold_s
        # None of them is what this service sets; whoever sets them has them.
        config = self.config
        self._may_shorten = not (config.access_log or config.limit_concurrency or config.root_path)
        self._held: list[bytes] | None = None  # the body of a request that is not begun
        self._is_whole = False  # what is held: it is put off until a later turn
        self._hold_timer: asyncio.TimerHandle | None = None
        self._express: ExpressRequest | None = None  # under way; others may wait behind it

    def data_received(self, data: bytes) -> None:
        """Take what has come; of a body that is held and not whole, wait for the rest."""
        super().data_received(data)
        if self._part is not None:
            self._wait_for_rest()
        if self._held is not None and self._hold_timer is None and not self._is_whole:
            self._hold_timer = self.loop.call_later(self._hold_s, self._let_go)

    def connection_lost(self, exc: Exception | None) -> None:
        """Have what is under way end, and be counted."""
        self._let_go()
        super().connection_lost(exc)
        request = self._express
        if request is not None:
            self._forget(request)
            request.leave()

    def shutdown(self) -> None:
        """Begin what is held: it is finished as what is under way."""
        self._let_go()
        super().shutdown()

    def on_headers_complete(self) -> None:
        """Refuse the request, hold it until its body is there, or begin it."""
        self.progressed()
        self.require_short_head()
        self._part = "body"
        if self._part_timer is not None:
            self._end_part()
        if self._is_simple():
            scope: Any = self.scope
            path, _, query = self.url.partition(b"?")
            scope["method"] = METHOD
            scope["path"] = path.decode("latin-1")
            scope["query_string"] = query
            if self._gate.is_watching(self.loop.time()):
                response = self._gate.refusal(scope, self.loop.time)
                if response is not None:
                    self.cycle = _ANSWERED
                    self._write(response)
                    return
            lane = self._lane
            is_usual = path == _EXPRESS_PATH and lane.is_open_to(self.headers)
            if is_usual and lane.note_arrival(scope, self.loop.time):
                self._held = []
                return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self.progressed()
        if self._held is not None:
            self._held.append(body)
        elif self.cycle is not _ANSWERED:  # else nobody waits for it
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin what was held; where a request was answered before, begin to wait for the next."""
        self._part = None
        if self._part_timer is not None:
            self._end_part()
        if self._held is not None:
            self._is_whole = True
            gate = self._gate
            if gate.is_watching(self.loop.time()) and not gate.pacer.may_begin():
                self._end_hold_timer()
                gate.pacer.put_off(self._begin_whole)
            else:
                self._begin_whole()
            return
        if self.cycle is not _ANSWERED:
            super().on_message_complete()
        elif self.timeout_keep_alive_task is None:
            # The pieces of a body that came behind the answer have stopped the timer.
            self._wait_for_next()

    def on_message_begin(self) -> None:
        """Begin what was put off, as another request comes behind it."""
        if self._is_whole:
            self._begin_whole()
        super().on_message_begin()

    def _begin_whole(self) -> None:
        """Begin a request that is held and whole; nothing if there is none any more."""
        held = self._held
        if held is None or not self._is_whole:
            return
        scope: Any = self.scope
        request = self._lane.begin(scope, b"".join(held), self._finish)
        if request is None:
            self._let_go()
            return
        self._end_hold()
        self._express = request
        stand_in: Any = request  # for what the server has of other requests
        self.cycle = stand_in
        self.tasks.add(stand_in)

    def _is_simple(self) -> bool:
        """Whether an answer may be written without uvicorn, and the connection stays."""
        parser = self.parser
        return (
            self._may_shorten
            and (self.cycle is None or self.cycle.response_complete)
            and parser.get_method() == _METHOD
            and b"#" not in self.url
            and len(self.url) <= MOST_URL_BYTES
            and not self.expect_100_continue
            and not self.flow.write_paused
            and not self.transport.is_closing()
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and parser.get_http_version() == "1.1"
        )

    def _let_go(self) -> None:
        """Have the request that is held, if there is one, go the way of every request."""
        held = self._held
        if held is None:
            return
        is_whole = self._is_whole
        self._end_hold()
        super().on_headers_complete()
        for piece in held:
            super().on_body(piece)
        if is_whole:
            super().on_message_complete()

    def _end_hold(self) -> None:
        self._held = None
        self._is_whole = False
        self._end_hold_timer()

    def _end_hold_timer(self) -> None:
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None

    def _finish(self, request: ExpressRequest, response: Response) -> None:
        """Write the answer of a request that was begun on the express lane."""
        self._forget(request)
        if self.transport.is_closing():
            return
        if not request.keep_alive:
            response.raw_headers.append((b"connection", b"close"))
        self._write(write_response(response), is_last=not request.keep_alive)

    def _forget(self, request: ExpressRequest) -> None:
        """Keep nothing of a request that ends: connections may idle, and it knows this one."""
        self._express = None
        stand_in: Any = request
        self.tasks.discard(stand_in)
        if self.cycle is stand_in:
            self.cycle = _ANSWERED

    def _write(self, response: WrittenResponse, *, is_last: bool = False) -> None:
        standing = self._standing.text(self.server_state.default_headers)
        content = (STATUS_LINE[response.status], standing, response.rest)
        self.transport.write(b"".join(content))
        if is_last:
            self.transport.close()  # before others behind it are begun, whose answers would be lost
        self.on_response_complete()

    def _wait_for_next(self) -> None:
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )


def gated(
    gate: RefusalGate,
    lane: ExpressLane,
    hold_s: float = HOLD_S,
    patience: PatiencePolicy | None = None,
) -> type[asyncio.Protocol]:
    """Return what uvicorn makes its connections with (``http`` of its ``Config``)."""
    # It asks for a class, and calls it: any callable will do.
    standing = _StandingHeaders()
    made = partial(
        GatedProtocol,
        gate=gate,
        lane=lane,
        standing=standing,
        hold_s=hold_s,
        patience=patience or PatiencePolicy(),
    )
    return cast(type[asyncio.Protocol], made)
