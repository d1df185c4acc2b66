"""Uvicorn's side of a connection, with the gate asked before a request is begun."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.gate import METHOD, RefusalGate

_METHOD = METHOD.encode("ascii")


class _AnsweredCycle:
    """Stands for a request that was answered before it was begun.

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


class GatedProtocol(HttpToolsProtocol):
    """One connection, on which requests may be refused without a task.

    Answer: what the gate refuses is answered at once, in one piece, if nothing on the connection
        waits for its own answer; with a request before it under way, it waits for its turn.
    Keep: the connection stays, and the unread body is dropped as it comes.
    Leave: all that needs more than that is left to uvicorn: other versions of HTTP, ends of
        connections, upgrades, clients that ask before they send or do not read their answers.
    """

    def __init__(self, *args: Any, gate: RefusalGate, **kwargs: Any) -> None:
        """Be told by uvicorn of a connection; ``gate`` is the application's."""
        super().__init__(*args, **kwargs)
        self._gate = gate
        # None of them is what this service sets; whoever sets them has them.
        config = self.config
        self._may_refuse = not (config.access_log or config.limit_concurrency or config.root_path)

    def on_headers_complete(self) -> None:
        """Refuse the request, or begin it."""
        if self._gate.is_watching(self.loop.time()) and self._is_simple():
            scope: Any = self.scope
            path, _, query = self.url.partition(b"?")
            scope["method"] = METHOD
            scope["path"] = path.decode("latin-1")
            scope["query_string"] = query
            response = self._gate.refusal(scope, self.loop.time)
            if response is not None:
                self._answer(response)
                return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request; where it was answered long before, begin to wait for the next one."""
        super().on_message_complete()
        # The pieces of a body that came behind the answer have stopped the timer.
        if self.cycle is _ANSWERED and self.timeout_keep_alive_task is None:
            self._wait_for_next()

    def _is_simple(self) -> bool:
        """Whether an answer may be written here and now, and the connection stays."""
        parser = self.parser
        return (
            self._may_refuse
            and (self.cycle is None or self.cycle.response_complete)
            and parser.get_method() == _METHOD
            and b"#" not in self.url
            and not self.expect_100_continue
            and not self.flow.write_paused
            and not self.transport.is_closing()
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and parser.get_http_version() == "1.1"
        )

    def _answer(self, response: Response) -> None:
        content = [STATUS_LINE[response.status_code]]
        for name, value in (*self.server_state.default_headers, *response.raw_headers):
            content += (name, b": ", value, b"\r\n")
        content += (b"\r\n", bytes(response.body))
        self.transport.write(b"".join(content))
        self.cycle = _ANSWERED
        self.on_response_complete()

    def _wait_for_next(self) -> None:
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )


def gated(gate: RefusalGate) -> type[asyncio.Protocol]:
    """Return what uvicorn makes its connections with (``http`` of its ``Config``)."""
    # It asks for a class, and calls it: any callable will do.
    return cast(type[asyncio.Protocol], partial(GatedProtocol, gate=gate))
