"""``/v1/models``: what is served, in which state, and what each version is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request

from app.access.caller import Scope
from app.api.access import guard
from app.api.dependencies import lifecycle_of
from app.api.openapi import ACCESS_CODES, answer_headers, needs_key, operation_id, problems
from app.errors import ServableNotFoundError
from app.inference.live import LiveServable
from app.lifecycle import Lifecycle
from app.registry.status import ModelStatus, VersionStatus
from app.rollout.status import CanaryStatus, ShadowStatus
from app.schemas.answers import (
    CanarySummary,
    ModelResponse,
    ModelsResponse,
    ModelSummary,
    ShadowSummary,
    TensorFlowServingStatus,
    TensorFlowServingVersionStatus,
    VersionResponse,
    VersionSummary,
)
from app.types import ServableState

router = APIRouter(
    tags=["models"],
    generate_unique_id_function=operation_id,
    dependencies=[guard(Scope.INFER)],
)

_OPENAPI = needs_key(Scope.INFER)

ModelNamePath = Annotated[str, Path(description="Name of the model.", examples=["cifar10"])]
VersionPath = Annotated[int, Path(description="Version of the model.", examples=[1])]

# TensorFlow Serving knows fewer states: a version loads until it is available, and what failed
# has ended with an error.
_TENSORFLOW_SERVING_STATES: dict[ServableState, Any] = {
    ServableState.START: "START",
    ServableState.LOADING: "LOADING",
    ServableState.WARMING: "LOADING",
    ServableState.TESTING: "LOADING",
    ServableState.AVAILABLE: "AVAILABLE",
    ServableState.DRAINING: "UNLOADING",
    ServableState.END: "END",
    ServableState.FAILED: "END",
}


@router.get(
    "/v1/models",
    summary="All models",
    response_model=ModelsResponse,
    responses=answer_headers() | problems(*ACCESS_CODES, "internal"),
    openapi_extra=_OPENAPI,
)
async def list_models(request: Request) -> ModelsResponse:
    """List every model with its versions and their states, those that failed included."""
    lifecycle = lifecycle_of(request)
    return ModelsResponse(
        default=lifecycle.default_model,
        models=[describe_model(lifecycle, model) for model in lifecycle.statuses()],
    )


@router.get(
    "/v1/models/{name}",
    summary="One model",
    response_model=ModelResponse,
    responses=answer_headers() | problems(*ACCESS_CODES, "model_not_found", "internal"),
    openapi_extra=_OPENAPI,
)
async def show_model(request: Request, name: ModelNamePath) -> ModelResponse:
    """Show one model, with `model_version_status` as TensorFlow Serving answers on this path."""
    lifecycle = lifecycle_of(request)
    model = find_model(lifecycle, name)
    statuses = [_tensorflow_serving_status(version) for version in model.versions]
    return ModelResponse(**_model_fields(lifecycle, model), model_version_status=statuses)


@router.get(
    "/v1/models/{name}/versions/{version}",
    summary="One version",
    response_model=VersionResponse,
    responses=answer_headers()
    | problems(
        *ACCESS_CODES, "model_not_found", "version_not_found", "invalid_request", "internal"
    ),
    openapi_extra=_OPENAPI,
)
async def show_version(
    request: Request, name: ModelNamePath, version: VersionPath
) -> VersionResponse:
    """Show one version with its whole manifest: input, classes, training, files and checksums."""
    model = find_model(lifecycle_of(request), name)
    for status in model.versions:
        if status.version == version:
            return VersionResponse(
                **_version_fields(status), model=model.name, manifest=status.manifest
            )
    known = ", ".join(str(status.version) for status in model.versions) or "none"
    raise ServableNotFoundError(
        f"{name} has no version {version}; it has: {known}", code="version_not_found"
    )


def find_model(lifecycle: Lifecycle, name: str) -> ModelStatus[LiveServable]:
    """Return the status of a model.

    Raises:
        ServableNotFoundError: There is no such model.
    """
    models = {model.name: model for model in lifecycle.statuses()}
    if name not in models:
        known = ", ".join(sorted(models)) or "none"
        raise ServableNotFoundError(f"there is no model {name!r}; there is: {known}")
    return models[name]


def describe_model(lifecycle: Lifecycle, model: ModelStatus[LiveServable]) -> ModelSummary:
    """Return what is answered about a model."""
    return ModelSummary(**_model_fields(lifecycle, model))


def _model_fields(lifecycle: Lifecycle, model: ModelStatus[LiveServable]) -> dict[str, Any]:
    rollout = lifecycle.director.status(model.name)
    return {
        "name": model.name,
        "default_version": model.default_version,
        "labels": model.labels,
        "is_pinned": model.is_pinned,
        "canary": rollout.canary and _canary(rollout.canary),
        "shadow": rollout.shadow and _shadow(rollout.shadow),
        "versions": [VersionSummary(**_version_fields(version)) for version in model.versions],
    }


def _canary(status: CanaryStatus) -> CanarySummary:
    plan = status.plan
    return CanarySummary(
        **plan.model_dump(),
        state=status.state,
        version=status.version,
        reason=status.reason,
        requests=status.requests,
        error_rate=status.error_rate,
        p95_ms=_ms(status.p95_s),
        stable_p95_ms=_ms(status.stable_p95_s),
    )


def _shadow(status: ShadowStatus) -> ShadowSummary:
    return ShadowSummary(
        **status.plan.model_dump(),
        state=status.state,
        version=status.version,
        reason=status.reason,
        compared=status.compared,
        agreement=status.agreement,
        mean_score_difference=status.mean_score_difference,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _version_fields(version: VersionStatus[LiveServable]) -> dict[str, Any]:
    manifest, info = version.manifest, version.live and version.live.info
    return {
        "version": version.version,
        "state": version.state,
        "since": version.since,
        "reason": version.reason,
        "architecture": manifest and manifest.architecture,
        "parameters": manifest and manifest.parameters,
        "classes": manifest and manifest.classes,
        "input": manifest and manifest.input,
        "metrics": manifest and manifest.metrics,
        "created_at": manifest and manifest.created_at,
        "engine": info and info.engine,
        "precision": info and info.precision,
        "device": info and info.device,
    }


def _tensorflow_serving_status(
    version: VersionStatus[LiveServable],
) -> TensorFlowServingVersionStatus:
    has_failed = version.state is ServableState.FAILED
    return TensorFlowServingVersionStatus(
        version=str(version.version),
        state=_TENSORFLOW_SERVING_STATES[version.state],
        status=TensorFlowServingStatus(
            error_code="UNKNOWN" if has_failed else "OK", error_message=version.reason or ""
        ),
    )
