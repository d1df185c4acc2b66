"""Counts and logs each request once it is answered, whichever way it took."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from app.access.limits import Visit
from app.api.entries import in_ms
from app.api.flight_recorder import FlightRecorder
from app.api.record import RequestRecord
from app.api.refusal_log import LIMITED_CODE, REFUSAL_CODES, RefusalLog, alike_of
from app.api.tracing import QUIET_ROUTES, end_trace
from app.logging import log_event
from app.metrics import Metrics
from app.tallies import Distribution, Tally

logger = logging.getLogger("app.request")

UNMATCHED = "unmatched"
"""The ``route`` label of requests that no route takes: their paths are not a closed set."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD = "OTHER"

# Scanners and probes fail all day long, and would be all that is remembered.
_UNRECORDED = QUIET_ROUTES | {UNMATCHED}


class RequestAccounts:
    """The metrics and the log of requests, and the end of what they hold of limits.

    Loop: used on one event loop.

    Attributes:
        refused_s: When the last request that was refused for want of room had come, on the event
            loop's clock.
    """

    def __init__(self, metrics: Metrics, recorder: FlightRecorder) -> None:
        """Count in ``metrics``; ``recorder`` is told of every request but those of machines."""
        self.refused_s = -math.inf
        self._metrics = metrics
        self._recorder = recorder
        # Looking up the children of a metric by labels costs more than counting. Closed sets:
        # routes, methods and codes.
        self._counters: dict[tuple[str, str, int], Tally] = {}
        # Of all, and of those that failed.
        self._durations: dict[str, tuple[Distribution, Distribution]] = {}
        self._refusal_log = RefusalLog()

    def begin(self) -> None:
        """Count a request that is being answered from now on."""
        self._metrics.in_flight += 1

    def end(self, record: RequestRecord, route: str, method: str, code: int) -> None:
        """Count and log a request that has been answered.

        Args:
            record: What it was.
            route: The path of its route, or ``UNMATCHED``.
            method: Of the request.
            code: The status of its answer, or 499.
        """
        if record.visit is not None:
            self._end_visit(record, record.visit)
        self._metrics.in_flight -= 1
        elapsed_s = record.elapsed_s()
        method = method if method in _METHODS else _OTHER_METHOD
        self._counter_of(route, method, code).inc()
        durations = self._durations.get(route) or self._durations_of(route)
        durations[0].observe(elapsed_s)
        if code >= 400:
            durations[1].observe(elapsed_s)
        if route not in _UNRECORDED:
            self._recorder.end(record, route, method, code, elapsed_s)
        if record.trace is not None:
            end_trace(record.trace, record, route, method, code)
        is_refusal = record.error_code in REFUSAL_CODES
        if is_refusal:
            self.refused_s = record.arrived_s
        level = _level(route, code)
        if logger.isEnabledFor(level) and not (
            is_refusal and self._refusal_log.takes(record, route)
        ):
            log_event(logger, level, "request", _fields(record, route, method, code, elapsed_s))

    def _counter_of(self, route: str, method: str, code: int) -> Tally:
        counter = self._counters.get((route, method, code))
        if counter is None:
            counter = self._metrics.requests.labels(route, method, str(code))
            self._counters[route, method, code] = counter
        return counter

    def _end_visit(self, record: RequestRecord, visit: Visit) -> None:
        visit.end()
        if record.error_code == LIMITED_CODE and visit.refused is not None:
            self._metrics.limited_requests.labels(*visit.refused).inc()

    def _durations_of(self, route: str) -> tuple[Distribution, Distribution]:
        # Both from the first request on: in PromQL, less what is not there is nothing.
        families = (self._metrics.request_duration, self._metrics.failed_request_duration)
        every, failed = (family.labels(route) for family in families)
        self._durations[route] = every, failed
        return every, failed

    def alike(self, record: RequestRecord, route: str, method: str, code: int) -> AlikeRefusals:
        """Return what counts refusals like one that has been counted, as ``end`` would.

        Args:
            record: Of that one; it has no trace and no visit.
            route: As ``end`` was told.
            method: The same.
            code: The same.
        """
        counter = self._counter_of(route, method, code)
        durations = self._durations.get(route) or self._durations_of(route)
        alike = alike_of(record, route)
        assert alike is not None, "it was refused"
        level = _level(route, code)

        def log(request_id: str, elapsed_s: float) -> None:
            if logger.isEnabledFor(level) and not self._refusal_log.takes_alike(alike):
                own = replace(record, request_id=request_id)
                log_event(logger, level, "request", _fields(own, route, method, code, elapsed_s))

        return AlikeRefusals(self, counter, durations, log)

    def flush(self) -> None:
        """Log what is left to be logged; there are no more requests."""
        self._refusal_log.flush()


class AlikeRefusals:
    """Counts and logs refusals of which everything but id and time is that of another one.

    Under overload most requests are such: what is looked up for each is bound here once.
    """

    __slots__ = ("_accounts", "_counter", "_every", "_failed", "_log")

    def __init__(
        self,
        accounts: RequestAccounts,
        counter: Tally,
        durations: tuple[Distribution, Distribution],
        log: Callable[[str, float], None],
    ) -> None:
        """Be made by ``RequestAccounts.alike``."""
        self._accounts = accounts
        self._counter = counter
        self._every, self._failed = durations
        self._log = log

    def end(self, request_id: str, arrived_s: float, elapsed_s: float) -> None:
        """Count and log one more, which was never under way.

        Args:
            request_id: Its id.
            arrived_s: When it came, on the event loop's clock.
            elapsed_s: What it took.
        """
        self._counter.inc()
        self._every.observe(elapsed_s)
        self._failed.observe(elapsed_s)
        self._accounts.refused_s = arrived_s
        self._log(request_id, elapsed_s)


def _level(route: str, code: int) -> int:
    if route in QUIET_ROUTES:
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
    if record.trace is not None:
        fields["trace_id"] = record.trace.trace_id
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
    fields["total_ms"] = in_ms(elapsed_s)
    return fields
