"""``/v1/debug``: single requests, for those who ask why one was slow or failed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request

from app.access.caller import Scope
from app.api.access import guard
from app.api.entries import in_ms
from app.api.flight_recorder import FlightRecorder, RecordedRequest
from app.api.openapi import ADMIN_PORT_CODES, answer_headers, needs_key, operation_id, problems
from app.schemas.debug import DebugRequestsResponse, RequestEntry

router = APIRouter(
    prefix="/v1/debug",
    tags=["debug"],
    generate_unique_id_function=operation_id,
    dependencies=[guard(Scope.ADMIN)],
)


@router.get(
    "/requests",
    summary="The slowest and the last failed requests",
    response_model=DebugRequestsResponse,
    responses=answer_headers() | problems(*ADMIN_PORT_CODES, "internal"),
    openapi_extra=needs_key(Scope.ADMIN),
)
async def show_requests(request: Request) -> DebugRequestsResponse:
    """Show where the time of the slowest classifications of late went, and what failed last.

    Each has its request id, by which the log knows it, the time of every stage, its place in the
    queue and how many images were executed with it. Nothing of what was sent is kept.
    """
    recorder = request.app.state.recorder
    assert isinstance(recorder, FlightRecorder)
    now_s = asyncio.get_running_loop().time()
    return DebugRequestsResponse(
        window_s=recorder.window_s,
        slowest=[_entry(flight) for flight in recorder.slowest(now_s)],
        failed=[_entry(flight) for flight in recorder.failed()],
    )


def _entry(flight: RecordedRequest) -> RequestEntry:
    record = flight.record
    decode_ms, queue_ms, execute_ms, companions = _stages(flight)
    known_ms = sum(stage for stage in (decode_ms, queue_ms, execute_ms) if stage is not None)
    total_ms = in_ms(flight.elapsed_s)
    servable = record.servable
    return RequestEntry(
        request_id=record.request_id,
        started_at=datetime.fromtimestamp(flight.ended_at_s - flight.elapsed_s, UTC),
        route=flight.route,
        method=flight.method,
        status=flight.status,
        error=record.error_code,
        model=servable and servable.name,
        version=servable and servable.version,
        total_ms=total_ms,
        decode_ms=decode_ms,
        queue_ms=queue_ms,
        execute_ms=execute_ms,
        rest_ms=max(0.0, round(total_ms - known_ms, 3)),  # several images pass stages side by side
        companions=companions,
        queue_position=record.queue_position,
    )


def _stages(flight: RecordedRequest) -> tuple[float | None, float | None, float | None, int | None]:
    """Return decode, queue and execution, ms, and the companions, as far as they are known."""
    timing, progress = flight.record.timing, flight.record.progress
    if timing is not None:
        companions = timing.batch_size - 1 if timing.batch_size else None  # 0: kept from before
        return timing.decode_ms, timing.queue_ms, timing.execute_ms, companions
    if progress is not None:
        return _ms(progress.decode_s), _ms(progress.queue_s), _ms(progress.execute_s), None
    return None, None, None, None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else in_ms(seconds)
