"""``/v1/models/{name}/samples``: labelled samples of a model, to look at and to classify."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from app.access.caller import Scope
from app.api.access import guard
from app.api.admission import admit
from app.api.answer import AnswerResponse, server_timing
from app.api.dependencies import lifecycle_of
from app.api.disconnect import CancelOnDisconnect
from app.api.entries import image_entry, prediction_entries, timing_entry
from app.api.models import ModelNamePath
from app.api.openapi import (
    ACCESS_CODES,
    ETAG,
    SERVER_TIMING,
    X_CACHE,
    answer_headers,
    needs_key,
    operation_id,
    problems,
)
from app.api.query import SamplePredictQuery, SamplesQuery, parse_query, query_parameters
from app.api.record import record_of
from app.api.sample_schemas import (
    ActualEntry,
    SampleEntry,
    SamplePredictResponse,
    SamplesResponse,
)
from app.artifacts.labelled_samples import LabelledSamples
from app.errors import InvalidRequestError

router = APIRouter(
    tags=["samples"],
    generate_unique_id_function=operation_id,
    dependencies=[guard(Scope.INFER)],
)

_OPENAPI = needs_key(Scope.INFER)
_WRITE_ANSWER = TypeAdapter(SamplePredictResponse).serializer.to_json

_LIST_CODES = (
    *ACCESS_CODES, "model_not_found", "samples_unavailable", "queue_full", "internal", "not_ready",
    "deadline_exceeded",
)  # fmt: skip
_SAMPLE_CODES = (*_LIST_CODES, "sample_not_found", "invalid_request")
_PREDICT_CODES = (
    *_SAMPLE_CODES, "malformed_request", "version_not_found", "label_not_found",
    "image_too_large", "execution_failed", "draining",
)  # fmt: skip

_IMAGE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        **answer_headers(ETAG)[200],
        "description": "The pixels of the sample.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "It is still the one that `If-None-Match` names."},
}

SampleIndexPath = Annotated[
    int, Path(description="Place of the sample in the data set, from 0.", examples=[0])
]

# Kept by the browser of whoever asked, and asked for again each time: another version may have
# other samples from one moment to the next, and a key may be revoked.
_CACHING = "private, no-cache"

_MOST_CLASSES_NAMED = 20
_MOST_SHOWN = 80  # characters of what was sent


@router.get(
    "/v1/models/{name}/samples",
    summary="Samples of a model",
    response_model=SamplesResponse,
    responses=answer_headers() | problems(*_LIST_CODES, "invalid_request"),
    openapi_extra={**_OPENAPI, "parameters": query_parameters(SamplesQuery)},
)
async def list_samples(request: Request, name: ModelNamePath) -> SamplesResponse:
    """List labelled images that the model can be tried with, and the class of each.

    They are those that the version which answers by default carries; if it carries none, those of
    `KERASERVE_SAMPLES_DIR`, as `make samples` makes them for the models that Keraserve brings.
    """
    query = parse_query(request.scope["query_string"], SamplesQuery)
    samples = await lifecycle_of(request).samples.all(name, _deadline_s(request))
    rows = np.arange(len(samples))
    if query.label is not None:
        class_id = _class_id(samples.classes, query.label, name)
        rows = np.flatnonzero(samples.labels == class_id)
    shown = rows[query.offset : query.offset + query.limit].tolist()
    return SamplesResponse(count=len(rows), samples=[_entry(samples, row) for row in shown])


@router.get(
    "/v1/models/{name}/samples/{index}/image",
    summary="Image of a sample",
    response_class=Response,
    responses=_IMAGE_ANSWERS | problems(*_SAMPLE_CODES),
    openapi_extra=_OPENAPI,
)
async def show_sample_image(
    request: Request, name: ModelNamePath, index: SampleIndexPath
) -> Response:
    """Give the image of one sample as a PNG.

    It may be kept, and must be asked for again with `If-None-Match`: another version may have
    other samples.
    """
    samples = lifecycle_of(request).samples
    _, png = await samples.image(name, index, _deadline_s(request))
    digest = hashlib.blake2b(png, digest_size=16).hexdigest()
    headers = {"ETag": f'"{digest}"', "Cache-Control": _CACHING}
    if _has(request, digest):
        return Response(status_code=304, headers=headers)
    return Response(png, headers=headers, media_type="image/png")


@router.get(
    "/v1/models/{name}/samples/{index}/real",
    summary="Class of a sample",
    response_model=SampleEntry,
    responses=answer_headers() | problems(*_SAMPLE_CODES),
    openapi_extra=_OPENAPI,
)
async def show_sample_class(
    request: Request, name: ModelNamePath, index: SampleIndexPath
) -> SampleEntry:
    """Show what one sample really is: the class that the data set gives it."""
    sample = await lifecycle_of(request).samples.one(name, index, _deadline_s(request))
    return SampleEntry(sample.index, sample.label, sample.class_id)


@router.post(
    "/v1/models/{name}/samples/{index}/predict",
    summary="Classify a sample",
    response_model=SamplePredictResponse,
    responses=answer_headers(SERVER_TIMING, X_CACHE) | problems(*_PREDICT_CODES),
    openapi_extra={**_OPENAPI, "parameters": query_parameters(SamplePredictQuery)},
)
async def predict_sample(request: Request, name: ModelNamePath, index: SampleIndexPath) -> Response:
    """Classify one sample, and say whether that is right.

    The answer is that of `/v1/classify` for its image, with what the sample really is beside it.
    `version` and `label` choose who answers; the samples stay those of the default version. There
    is no body.
    """
    lifecycle, record = lifecycle_of(request), record_of(request.scope)
    query = parse_query(request.scope["query_string"], SamplePredictQuery).of_model(name)
    choice, options = admit(lifecycle, record, request, is_one=True, query=query)
    with choice, CancelOnDisconnect(request.receive):
        sample, png = await lifecycle.samples.image(name, index, options.deadline_s)
        live, answer = await lifecycle.director.classify(choice, png, options)
    timing = timing_entry(answer.timing, record.elapsed_s())
    record.servable, record.timing = live.id, timing
    body = SamplePredictResponse(
        request_id=record.request_id,
        model=live.id.name,
        version=live.id.version,
        predictions=prediction_entries(answer),
        image=image_entry(answer),
        timing=timing,
        actual=ActualEntry(sample.label, sample.class_id),
        correct=answer.predictions[0].label == sample.label,
    )
    stages = server_timing(timing, timing.total_ms)
    return AnswerResponse(_WRITE_ANSWER(body), stages, answer.reuse)


def _deadline_s(request: Request) -> float:
    """Return until when the samples are waited for, on the event loop's clock."""
    timeout_s = lifecycle_of(request).request_policy.request_timeout_s
    return record_of(request.scope).arrived_s + timeout_s


def _entry(samples: LabelledSamples, row: int) -> SampleEntry:
    class_id = int(samples.labels[row])
    return SampleEntry(row, samples.classes[class_id], class_id)


def _class_id(classes: Sequence[str], label: str, model: str) -> int:
    if label in classes:
        return classes.index(label)
    named = ", ".join(classes[:_MOST_CLASSES_NAMED])
    more = len(classes) - _MOST_CLASSES_NAMED
    raise InvalidRequestError(
        f"label is {label[:_MOST_SHOWN]!r}, which is no class of {model}; its classes are: {named}"
        + (f", and {more} more" if more > 0 else "")
    )


def _has(request: Request, digest: str) -> bool:
    """Whether the client has the content with this digest, by its ``If-None-Match``."""
    known = ",".join(request.headers.getlist("if-none-match")).split(",")
    tags = {tag.strip().removeprefix("W/") for tag in known}
    return "*" in tags or f'"{digest}"' in tags
