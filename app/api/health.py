"""Whether the process lives and whether traffic should come here."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.api.dependencies import lifecycle_of
from app.api.openapi import answer_headers, operation_id, problems
from app.schemas.answers import (
    Death,
    Liveness,
    OpenInferenceLive,
    OpenInferenceReady,
    Readiness,
    Unreadiness,
)

router = APIRouter(tags=["health"], generate_unique_id_function=operation_id)

_NO_CACHE = {"Cache-Control": "no-store"}
_UNREADY_STATUS = 503


def _responses(model: type[BaseModel], description: str) -> dict[int | str, Any]:
    described = answer_headers() | problems("internal")
    described[_UNREADY_STATUS] = {"model": model, "description": description}
    return described


_SHOULD_NOT_COME = "Traffic should not come."
_SHOULD_RESTART = "The process should be restarted."


@router.get(
    "/livez",
    summary="Alive",
    response_model=Liveness,
    responses=_responses(Death, _SHOULD_RESTART),
)
async def livez(request: Request) -> Response:
    """Answer 200 as long as the process can answer and mend itself; restart it if it does not.

    503 with the reasons where an engine hangs or dies and restarting it has not helped, often
    enough (KERASERVE_ENGINE_RESTARTS), or where the threads that decode have.
    """
    reasons = lifecycle_of(request).dead_reasons()
    if reasons:
        body = Death(reasons=reasons).model_dump()
        return JSONResponse(body, _UNREADY_STATUS, headers=_NO_CACHE)
    return JSONResponse(Liveness().model_dump(), headers=_NO_CACHE)


async def readyz(request: Request) -> Response:
    """Answer 200 if every required model can classify, else 503 with the reasons.

    Not ready: a version still loads, warms up or failed without another one serving; a batcher
    does not come forward any more; the server is stopping.
    """
    reasons = lifecycle_of(request).unready_reasons()
    if reasons:
        body = Unreadiness(reasons=reasons).model_dump()
        return JSONResponse(body, _UNREADY_STATUS, headers=_NO_CACHE)
    return JSONResponse(Readiness().model_dump(), headers=_NO_CACHE)


for _path in ("/readyz", "/healthz", "/health", "/ping"):
    router.add_api_route(
        _path,
        readyz,
        name=_path.removeprefix("/"),
        summary="Ready" if _path == "/readyz" else "Ready, as /readyz",
        response_model=Readiness,
        responses=_responses(Unreadiness, _SHOULD_NOT_COME),
    )


@router.get(
    "/v2/health/live",
    summary="Alive, Open Inference Protocol",
    response_model=OpenInferenceLive,
    responses=_responses(OpenInferenceLive, _SHOULD_RESTART),
)
async def open_inference_live(request: Request) -> Response:
    """Answer as KServe does: 200 or 503, as /livez."""
    is_live = not lifecycle_of(request).dead_reasons()
    body = OpenInferenceLive(live=is_live).model_dump()
    return JSONResponse(body, 200 if is_live else _UNREADY_STATUS, headers=_NO_CACHE)


@router.get(
    "/v2/health/ready",
    summary="Ready, Open Inference Protocol",
    response_model=OpenInferenceReady,
    responses=_responses(OpenInferenceReady, _SHOULD_NOT_COME),
)
async def open_inference_ready(request: Request) -> Response:
    """Answer as KServe does: 200 or 503."""
    is_ready = not lifecycle_of(request).unready_reasons()
    body = OpenInferenceReady(ready=is_ready).model_dump()
    return JSONResponse(body, 200 if is_ready else _UNREADY_STATUS, headers=_NO_CACHE)
