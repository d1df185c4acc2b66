"""``/v1/admin``: what is served is changed by those who may."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from app.access.caller import Scope
from app.administration.orders import Order, Outcome
from app.api.access import require
from app.api.admin_schemas import AdminResponse, CanaryRequest, LabelRequest
from app.api.dependencies import lifecycle_of
from app.api.direct_route import DirectRoute
from app.api.json_body import json_body, read_json
from app.api.models import describe_model
from app.api.openapi import (
    ADMIN_PORT_CODES,
    answer_headers,
    needs_key,
    operation_id,
    path_parameters,
    problems,
)
from app.api.query import parse_query, query_parameters
from app.api.record import record_of
from app.registry.rollout_plan import LATEST, ShadowPlan

router = APIRouter(
    prefix="/v1/admin",
    route_class=DirectRoute,
    tags=["admin"],
    generate_unique_id_function=operation_id,
)

Q = TypeVar("Q", bound="WaitQuery")
S = TypeVar("S", bound=BaseModel)

_MODEL = "/models/{name}"
_LABEL = _MODEL + "/labels/{label}"
_CODES = (*ADMIN_PORT_CODES, "invalid_request", "internal", "draining")
_MODEL_CODES = (*_CODES, "model_not_found", "not_ready")
_WRITE_CODES = (*_MODEL_CODES, "version_not_found", "malformed_request", "upload_too_large",
                "store_not_written", "deadline_exceeded")  # fmt: skip


class WaitQuery(BaseModel):
    """Parameters of every route here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wait_s: float = Field(
        60,
        ge=0,
        le=600,
        description="How long to wait until the service has brought itself in line. What was "
        "ordered goes on afterwards; the answer is 202 then.",
    )


class VersionQuery(WaitQuery):
    """Parameters of load and unload."""

    version: int | None = Field(None, ge=1, description="The version; without, the whole model.")


def _described(schema: type[BaseModel], *path: str, body: dict[str, Any] | None = None) -> Any:
    parameters = [*path_parameters(*path), *query_parameters(schema)]
    described = needs_key(Scope.ADMIN) | {"parameters": parameters}
    return described if body is None else described | {"requestBody": body}


def _answers(*codes: str) -> dict[int | str, dict[str, Any]]:
    accepted = {"model": AdminResponse, "description": "Ordered; the service still loads."}
    return answer_headers() | {202: accepted} | problems(*codes)


@router.post(
    _MODEL + "/load",
    summary="Load a version",
    response_model=AdminResponse,
    responses=_answers(*_MODEL_CODES, "version_not_found", "conflict"),
    openapi_extra=_described(VersionQuery, "name"),
)
async def load_version(request: Request) -> Response:
    """Serve a version beside those of the policy, or take back that it, or the model, was unloaded.

    It is loaded, warmed up and tested before the answer. It holds until it is unloaded or the
    server ends: `KERASERVE_MODELS` says for good what is served.
    """
    name, order, query = _take(request, VersionQuery)
    outcome = await lifecycle_of(request).version_orders.load(name, query.version, order)
    return _answer(request, outcome, name)


@router.post(
    _MODEL + "/unload",
    summary="Unload a version",
    response_model=AdminResponse,
    responses=_answers(*_MODEL_CODES, "version_not_found", "conflict"),
    openapi_extra=_described(VersionQuery, "name"),
)
async def unload_version(request: Request) -> Response:
    """Stop serving a version, or the whole model, whatever the policy says.

    What was accepted is finished. The version that answers by default goes only where another one
    can take over. It holds until it is loaded again or the server ends.
    """
    name, order, query = _take(request, VersionQuery)
    outcome = await lifecycle_of(request).version_orders.unload(name, query.version, order)
    return _answer(request, outcome, name)


@router.put(
    _LABEL,
    summary="Set a label",
    response_model=AdminResponse,
    responses=_answers(*_WRITE_CODES, "conflict"),
    openapi_extra=_described(WaitQuery, "name", "label", body=json_body(LabelRequest)),
)
async def set_label(request: Request) -> Response:
    """Point a label at a version; `stable` is the one that answers by default.

    A version that does not serve yet is loaded first. With 202 it still loads, and nothing is
    labelled: order it again. Written to the store: every server that shares it follows.
    """
    name, order, _ = _take(request, WaitQuery)
    wanted = await _read_body(request, LabelRequest)
    label = request.path_params["label"]
    orders = lifecycle_of(request).version_orders
    return _answer(request, await orders.label(name, label, wanted.version, order), name)


@router.delete(
    _LABEL,
    summary="Remove a label",
    response_model=AdminResponse,
    responses=_answers(*_MODEL_CODES, "store_not_written"),
    openapi_extra=_described(WaitQuery, "name", "label"),
)
async def remove_label(request: Request) -> Response:
    """Take a label away; without `stable` the newest version answers by default."""
    name, order, _ = _take(request, WaitQuery)
    label = request.path_params["label"]
    orders = lifecycle_of(request).version_orders
    return _answer(request, await orders.label(name, label, None, order), name)


@router.post(
    _MODEL + "/rollback",
    summary="Roll back",
    response_model=AdminResponse,
    responses=_answers(*_MODEL_CODES, "conflict", "store_not_written"),
    openapi_extra=_described(WaitQuery, "name"),
)
async def roll_back(request: Request) -> Response:
    """Let the previous default version answer again, and stay with it: sets the label `stable`.

    At once while that version is kept warm (`KERASERVE_KEEP_WARM_S`), else once it is loaded: with
    202 and `changed` false, order it again. The version that is left is canary no longer. Once it
    is done, asking again changes nothing.
    """
    name, order, _ = _take(request, WaitQuery)
    return _answer(request, await lifecycle_of(request).version_orders.roll_back(name, order), name)


@router.post(
    "/reload",
    summary="Look at the store",
    response_model=AdminResponse,
    responses=_answers(*_CODES),
    openapi_extra=_described(WaitQuery),
)
async def reload_store(request: Request) -> Response:
    """Look at the store now, and try again the versions that FAILED."""
    _, order, _ = _take(request, WaitQuery)
    return _answer(request, await lifecycle_of(request).version_orders.reload(order))


@router.put(
    _MODEL + "/canary",
    summary="Set the canary",
    response_model=AdminResponse,
    responses=_answers(*_WRITE_CODES, "label_not_found", "conflict"),
    openapi_extra=_described(WaitQuery, "name", body=json_body(CanaryRequest)),
)
async def set_canary(request: Request) -> Response:
    """Let another version answer a share of the requests that name no version.

    A request belongs to the share by its `X-Sticky-Key` (`KERASERVE_STICKY_HEADER`), else by its
    request id. Where the canary fails, the default version answers. It ends by itself where its
    error rate or its latency passes a threshold. A model without the label `stable` has it set to
    its default version. Written to the store.
    """
    name, order, _ = _take(request, WaitQuery)
    wanted = await _read_body(request, CanaryRequest)
    fields = wanted.model_dump(exclude_none=True)
    outcome = await lifecycle_of(request).traffic_orders.canary(name, fields, order)
    return _answer(request, outcome, name)


@router.delete(
    _MODEL + "/canary",
    summary="End the canary",
    response_model=AdminResponse,
    responses=_answers(*_MODEL_CODES, "store_not_written"),
    openapi_extra=_described(WaitQuery, "name"),
)
async def end_canary(request: Request) -> Response:
    """Let the default version answer everything again, also where a setting says otherwise."""
    name, order, _ = _take(request, WaitQuery)
    fields = {"target": LATEST, "share": 0}
    outcome = await lifecycle_of(request).traffic_orders.canary(name, fields, order)
    return _answer(request, outcome, name)


@router.put(
    _MODEL + "/shadow",
    summary="Set the shadow",
    response_model=AdminResponse,
    responses=_answers(*_WRITE_CODES, "label_not_found"),
    openapi_extra=_described(WaitQuery, "name", body=json_body(ShadowPlan)),
)
async def set_shadow(request: Request) -> Response:
    """Let another version classify a share of the images once more, for comparison alone.

    At low priority; its answers are thrown away. `/v1/models` and the metrics tell how often it
    agrees. Written to the store.
    """
    name, order, _ = _take(request, WaitQuery)
    plan = await _read_body(request, ShadowPlan)
    outcome = await lifecycle_of(request).traffic_orders.shadow(name, plan, order)
    return _answer(request, outcome, name)


@router.delete(
    _MODEL + "/shadow",
    summary="End the shadow",
    response_model=AdminResponse,
    responses=_answers(*_MODEL_CODES, "store_not_written"),
    openapi_extra=_described(WaitQuery, "name"),
)
async def end_shadow(request: Request) -> Response:
    """Compare no more, also where a setting says otherwise."""
    name, order, _ = _take(request, WaitQuery)
    plan = ShadowPlan(target=LATEST, share=0)
    outcome = await lifecycle_of(request).traffic_orders.shadow(name, plan, order)
    return _answer(request, outcome, name)


def _take(request: Request, schema: type[Q]) -> tuple[str, Order, Q]:
    caller = require(request, Scope.ADMIN)
    query = parse_query(request.scope["query_string"], schema)
    order = Order(caller.name, record_of(request.scope).request_id, query.wait_s)
    return request.path_params.get("name", ""), order, query


async def _read_body(request: Request, schema: type[S]) -> S:
    timeout_s = lifecycle_of(request).request_policy.request_timeout_s
    return await read_json(request, schema, timeout_s)


def _answer(request: Request, outcome: Outcome, name: str | None = None) -> Response:
    lifecycle = lifecycle_of(request)
    body = AdminResponse(
        request_id=record_of(request.scope).request_id,
        changed=outcome.has_changed,
        settled=outcome.is_settled,
        models=[
            describe_model(lifecycle, model)
            for model in lifecycle.statuses()
            if name is None or model.name == name
        ],
    )
    status = 200 if outcome.is_settled else 202
    return Response(body.model_dump_json(), status, media_type="application/json")
