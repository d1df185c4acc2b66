"""What every request gets, whatever its route: id, log line, metrics, and exactly one answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.accounts import UNMATCHED, RequestAccounts
from app.api.error_handlers import internal_error_response
from app.api.problems import CLIENT_CLOSED_REQUEST, error_response
from app.api.record import STATE_KEY, RequestRecord, request_id_of
from app.api.tracing import decide_trace
from app.errors import BatcherStoppedError
from app.tracing.sampler import RequestSampler

# A refused body up to this size is left to the server, which drops it and keeps the connection.
_DROPPED_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LingerPolicy:
    """How long the rest of a refused body is dropped before its connection closes.

    Clients that read only once they have sent everything need it to see their answer; those that
    read meanwhile stop at once.

    Attributes:
        total_s: At most; a stopping service waits for it.
        idle_s: At most without a byte: clients that send steadily are not cut off by it.
    """

    total_s: float = 10.0
    idle_s: float = 2.0


class RequestMiddleware:
    """Wraps the routes.

    Answer: each request gets one response: the route's, a problem for what it raised, or none if
    the client left (logged and counted as 499).
    Cancel: a request that the stopping server cancels is answered with 503 ``draining``.
    Bound: a connection outlives the answer to a refused body by ``LingerPolicy``.
    """

    def __init__(
        self,
        app: ASGIApp,
        accounts: RequestAccounts,
        linger_policy: LingerPolicy | None = None,
        on_cut_off: Callable[[], object] | None = None,
        sampler: RequestSampler | None = None,
    ) -> None:
        """Take what is inside and what is told.

        Args:
            app: Everything inside.
            accounts: Where requests are counted and logged.
            linger_policy: How long refused bodies are read on.
            on_cut_off: Told of each request that the stopping server cancels.
            sampler: Says which requests are traced; None where none is.
        """
        self._sampler = sampler
        self._on_cut_off = on_cut_off or (lambda: None)
        self._app = app
        self._accounts = accounts
        self._linger_policy = linger_policy or LingerPolicy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            try:
                await self._app(scope, receive, send)
            finally:
                self._accounts.flush()  # the lifespan has ended, well or not
            return
        record = _record_for(scope)
        if self._sampler is not None:
            decide_trace(self._sampler, scope, record)
        exchange = _Exchange(scope, receive, send, record)
        method = scope["method"]
        if method == "HEAD":  # every GET route takes it; the exchange leaves the body out
            scope = {**scope, "method": "GET"}
        self._accounts.begin()
        try:
            await self._answer(scope, exchange)
        finally:
            route = getattr(scope.get("route"), "path", UNMATCHED)
            status = CLIENT_CLOSED_REQUEST if exchange.status is None else exchange.status
            self._accounts.end(record, route, method, status)
        await exchange.linger(self._linger_policy)

    async def _answer(self, scope: Scope, exchange: _Exchange) -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = CLIENT_CLOSED_REQUEST
        except Exception as error:
            response = internal_error_response(scope, error)
            if exchange.status is None:
                await response(scope, exchange.receive, exchange.send)
            else:
                exchange.break_off(response.status_code)
        except asyncio.CancelledError:
            self._on_cut_off()
            if exchange.status is None:
                stopped = BatcherStoppedError("The service stopped before the answer was there.")
                response = error_response(scope, stopped)
                await response(scope, exchange.receive, exchange.send)
            raise


def _record_for(scope: Scope) -> RequestRecord:
    """Put a record into the scope; its time runs from the note of the server, if there is one."""
    state = scope.setdefault("state", {})
    noted = state.get(STATE_KEY)
    if isinstance(noted, RequestRecord):
        record = RequestRecord(noted.request_id, noted.started_s, noted.arrived_s)
        record.visit = noted.visit  # counted by the server; the accounts end it
        record.trace, record.is_trace_decided = noted.trace, noted.is_trace_decided
    else:
        arrived_s = asyncio.get_running_loop().time()
        record = RequestRecord(request_id_of(scope["headers"]), time.perf_counter(), arrived_s)
    state[STATE_KEY] = record
    return record


class _Exchange:
    """The two directions of one request, with what the middleware adds to them.

    Attributes:
        status: Of the response, as soon as it has begun.
    """

    __slots__ = ("_has_unread", "_is_head", "_lingers", "_receive", "_record", "_scope",
                 "_send", "status")  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, record: RequestRecord) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._record = record
        self._is_head = scope["method"] == "HEAD"
        self._has_unread = True
        self._lingers = False
        self.status: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self._has_unread = message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *self._record.headers()]
            if self._has_unread and announces_much(dict(self._scope["headers"])):
                self._lingers = True
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            if self._is_head:
                message = {**message, "body": b""}
            if self._lingers:  # the body is whole, by its length; the connection stays open
                message = {**message, "more_body": True}
        await self._send(message)

    def break_off(self, status: int) -> None:
        """Note a failure that comes too late to be told: without the rest, the server hangs up."""
        self.status = status
        self._lingers = False

    async def linger(self, policy: LingerPolicy) -> None:
        """Drop the rest of a refused body before the connection closes.

        Closed with unread bytes, TCP resets the connection, and the client loses the answer that
        says why. Web servers know this as a lingering close.
        """
        if not self._lingers:
            return
        loop = asyncio.get_running_loop()
        end_s = loop.time() + policy.total_s
        try:
            async with asyncio.timeout(min(policy.total_s, policy.idle_s)) as idle:
                while self._has_unread:
                    await self.receive()
                    idle.reschedule(min(end_s, loop.time() + policy.idle_s))
        except TimeoutError:
            pass
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def announces_much(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the connection cannot be kept if the body is refused: it is long, or not said."""
    length = headers.get(b"content-length")
    return b"transfer-encoding" in headers if length is None else int(length) > _DROPPED_BYTES
