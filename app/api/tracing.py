"""Whether a request is traced, and what its trace says of it."""

from __future__ import annotations

from starlette.types import Scope

from app.api.record import RequestRecord
from app.tracing.request_trace import RequestTrace
from app.tracing.sampler import RequestSampler

QUIET_ROUTES = frozenset(
    {
        "/livez", "/readyz", "/healthz", "/health", "/ping", "/metrics",
        "/v2/health/live", "/v2/health/ready",
    }
)  # fmt: skip
"""Asked every few seconds by machines: their lines and traces would drown the others."""


def decide_trace(sampler: RequestSampler, scope: Scope, record: RequestRecord) -> None:
    """Decide whether a request is traced, if that has not been decided on another way."""
    if not record.is_trace_decided:
        record.is_trace_decided = True
        if scope["path"] not in QUIET_ROUTES:
            record.trace = sampler.sample(scope["headers"], record.started_s)


def end_trace(
    trace: RequestTrace, record: RequestRecord, route: str, method: str, code: int
) -> None:
    """Tell the trace of a request how it ended.

    Names are those of OpenTelemetry's semantic conventions, where they have one.
    """
    attributes: dict[str, str | int | float] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": code,
        "keraserve.request_id": record.request_id,
    }
    if record.error_code is not None:
        attributes["error.type"] = record.error_code
    if record.servable is not None:
        attributes["keraserve.model"] = record.servable.name
        attributes["keraserve.version"] = record.servable.version
    if record.timing is not None:  # its times are those of the spans below
        attributes["keraserve.batch_size"] = record.timing.batch_size
    if record.queue_position is not None:
        attributes["keraserve.queue_position"] = record.queue_position
    trace.end(f"{method} {route}", attributes, is_error=code >= 500)
