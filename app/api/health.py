"""Whether the process lives and whether traffic should come here."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.api.dependencies import lifecycle_of
from app.api.openapi import answer_headers, operation_id, problems
from app.schemas.answers import (
    Liveness,
    OpenInferenceLive,
    OpenInferenceReady,
    Readiness,
    Unreadiness,
)

router = APIRouter(tags=["health"], generate_unique_id_function=operation_id)

_NO_CACHE = {"Cache-Control": "no-store"}
_UNREADY_STATUS = 503


def _responses(unready: type[Unreadiness | OpenInferenceReady] | None) -> dict[int | str, Any]:
    described = answer_headers() | problems("internal")
    if unready is not None:
        described[_UNREADY_STATUS] = {"model": unready, "description": "Traffic should not come."}
    return described


@router.get("/livez", summary="Alive", response_model=Liveness, responses=_responses(None))
async def livez() -> Response:
    """Answer 200 as long as the process can answer; restart it if it does not."""
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
        responses=_responses(Unreadiness),
    )


@router.get(
    "/v2/health/live",
    summary="Alive, Open Inference Protocol",
    response_model=OpenInferenceLive,
    responses=_responses(None),
)
async def open_inference_live() -> Response:
    """Answer as KServe does."""
    return JSONResponse(OpenInferenceLive().model_dump(), headers=_NO_CACHE)


@router.get(
    "/v2/health/ready",
    summary="Ready, Open Inference Protocol",
    response_model=OpenInferenceReady,
    responses=_responses(OpenInferenceReady),
)
async def open_inference_ready(request: Request) -> Response:
    """Answer as KServe does: 200 or 503."""
    is_ready = not lifecycle_of(request).unready_reasons()
    body = OpenInferenceReady(ready=is_ready).model_dump()
    return JSONResponse(body, 200 if is_ready else _UNREADY_STATUS, headers=_NO_CACHE)
