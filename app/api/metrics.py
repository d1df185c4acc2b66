"""``/metrics``: what Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client.exposition import choose_encoder
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.access.caller import Scope
from app.api.access import guard
from app.api.dependencies import lifecycle_of
from app.api.openapi import ADMIN_PORT_CODES, answer_headers, needs_key, operation_id, problems

router = APIRouter(tags=["health"], generate_unique_id_function=operation_id)

_TEXT = {"schema": {"type": "string"}}


@router.get(
    "/metrics",
    summary="Metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format, or OpenMetrics where `Accept` asks for it.",
            "headers": answer_headers()[200]["headers"],
            "content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT},
        },
        **problems(*ADMIN_PORT_CODES, "internal"),
    },
    dependencies=[guard(Scope.METRICS)],
    openapi_extra=needs_key(Scope.METRICS),
)
async def metrics(request: Request) -> Response:
    """Return all metrics; names begin with `keraserve_`, times are in seconds."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    lifecycle = lifecycle_of(request)
    metrics = lifecycle.metrics
    metrics.ask_estimates()
    metrics.ready.set(not lifecycle.unready_reasons())
    # In a thread: writing thousands of lines would hold up the event loop.
    body = await run_in_threadpool(encode, metrics.registry)
    return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
