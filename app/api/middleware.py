"""What every request gets, whatever its route: id, log line, metrics, and exactly one answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.error_handlers import internal_error_response
from app.api.problems import CLIENT_CLOSED_REQUEST, error_response
from app.api.record import STATE_KEY, RequestRecord, request_id_of
from app.api.refusal_log import RefusalLog
from app.errors import BatcherStoppedError
from app.logging import log_event
from app.metrics import Metrics

logger = logging.getLogger("app.request")

UNMATCHED = "unmatched"
"""The ``route`` label of requests that no route takes: their paths are not a closed set."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD = "OTHER"

# Asked every few seconds by machines: their lines would drown the others.
_QUIET_ROUTES = frozenset(
    {
        "/livez", "/readyz", "/healthz", "/health", "/ping", "/metrics",
        "/v2/health/live", "/v2/health/ready",
    }
)  # fmt: skip

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
        metrics: Metrics,
        linger_policy: LingerPolicy | None = None,
        on_cut_off: Callable[[], object] | None = None,
    ) -> None:
        """Take what is inside and what is told.

        Args:
            app: Everything inside.
            metrics: Where requests are counted.
            linger_policy: How long refused bodies are read on.
            on_cut_off: Told of each request that the stopping server cancels.
        """
        self._on_cut_off = on_cut_off or (lambda: None)
        self._app = app
        self._metrics = metrics
        self._linger_policy = linger_policy or LingerPolicy()
        # Looking up the children of a metric by labels costs more than counting. Closed sets:
        # routes, methods and codes.
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._durations: dict[str, Histogram] = {}
        self._refusal_log = RefusalLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            try:
                await self._app(scope, receive, send)
            finally:
                self._refusal_log.flush()  # the lifespan has ended, well or not
            return
        arrived_s = asyncio.get_running_loop().time()
        record = RequestRecord(request_id_of(scope["headers"]), time.perf_counter(), arrived_s)
        scope.setdefault("state", {})[STATE_KEY] = record
        exchange = _Exchange(scope, receive, send, record.request_id)
        method = scope["method"]
        if method == "HEAD":  # every GET route takes it; the exchange leaves the body out
            scope = {**scope, "method": "GET"}
        self._metrics.in_flight += 1
        try:
            await self._answer(scope, exchange)
        finally:
            self._metrics.in_flight -= 1
            self._account(scope, method, record, exchange.status)
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

    def _account(
        self, scope: Scope, method: str, record: RequestRecord, status: int | None
    ) -> None:
        elapsed_s = record.elapsed_s()
        route = getattr(scope.get("route"), "path", UNMATCHED)
        method = method if method in _METHODS else _OTHER_METHOD
        code = CLIENT_CLOSED_REQUEST if status is None else status
        counter = self._counters.get((route, method, code))
        if counter is None:
            counter = self._metrics.requests.labels(route, method, str(code))
            self._counters[route, method, code] = counter
        counter.inc()
        duration = self._durations.get(route)
        if duration is None:
            duration = self._durations[route] = self._metrics.request_duration.labels(route)
        duration.observe(elapsed_s)
        level = _level(route, code)
        if logger.isEnabledFor(level) and not self._refusal_log.takes(record, route):
            log_event(logger, level, "request", _fields(record, route, method, code, elapsed_s))


class _Exchange:
    """The two directions of one request, with what the middleware adds to them.

    Attributes:
        status: Of the response, as soon as it has begun.
    """

    __slots__ = ("_has_unread", "_is_head", "_lingers", "_receive", "_request_id", "_scope",
                 "_send", "status")  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = request_id.encode("ascii")
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
            headers = [*message.get("headers", ()), (b"x-request-id", self._request_id)]
            if self._has_unread and _announces_much(self._scope["headers"]):
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


def _announces_much(headers: list[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name == b"content-length":
            return int(value) > _DROPPED_BYTES
        if name == b"transfer-encoding":
            return True
    return False


def _level(route: str, code: int) -> int:
    if route in _QUIET_ROUTES:
        return logging.DEBUG
    return logging.WARNING if code >= 500 else logging.INFO


def _fields(
    record: RequestRecord, route: str, method: str, code: int, elapsed_s: float
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "request_id": record.request_id,
        "route": route,
        "method": method,
        "status": code,
    }
    if record.by is not None:
        fields["by"] = record.by
    if record.error_code is not None:
        fields["error"] = record.error_code
    if record.servable is not None:
        fields["model"] = record.servable.name
        fields["version"] = record.servable.version
    timing = record.timing
    if timing is not None:
        fields["batch_size"] = timing.batch_size
        fields["decode_ms"] = timing.decode_ms
        fields["queue_ms"] = timing.queue_ms
        fields["execute_ms"] = timing.execute_ms
    fields["total_ms"] = round(elapsed_s * 1000, 3)
    return fields
