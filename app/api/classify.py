"""``/v1/classify`` and ``/v1/classify/batch``: upload images, get ranked labels."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.access.caller import Scope
from app.api.access import require
from app.api.admission import BATCH_PATH, PATH, admit
from app.api.answer import AnswerResponse, answer_response, server_timing
from app.api.dependencies import lifecycle_of
from app.api.direct_route import DirectRoute
from app.api.disconnect import CancelOnDisconnect
from app.api.entries import image_entry, in_ms, prediction_entries, timing_entry
from app.api.multipart import Upload
from app.api.openapi import (
    ACCESS_CODES,
    SERVER_TIMING,
    X_CACHE,
    answer_headers,
    binary_body,
    form_body,
    needs_key,
    operation_id,
    problems,
)
from app.api.problems import detail_of, kind_of
from app.api.query import ClassifyQuery, query_parameters
from app.api.record import record_of, slowest
from app.api.uploads import read_image, read_images
from app.errors import ServingError
from app.inference.records import Classification
from app.inference.reuse import least_reuse
from app.schemas.answers import (
    BatchFailure,
    BatchResponse,
    BatchSuccess,
    ClassifyResponse,
    ErrorEntry,
)

router = APIRouter(
    route_class=DirectRoute, tags=["classify"], generate_unique_id_function=operation_id
)

_ANSWER_CODES = (
    *ACCESS_CODES,
    "malformed_request", "model_not_found", "version_not_found", "label_not_found",
    "upload_too_large", "too_many_images", "unsupported_format", "invalid_request", "queue_full",
    "internal", "not_ready", "draining", "deadline_exceeded",
)  # fmt: skip
_IMAGE_CODES = ("image_too_large", "invalid_image", "execution_failed")


@router.post(
    PATH,
    summary="Classify one image",
    response_model=ClassifyResponse,
    responses=answer_headers(SERVER_TIMING, X_CACHE) | problems(*_ANSWER_CODES, *_IMAGE_CODES),
    openapi_extra={
        **needs_key(Scope.INFER),
        "parameters": query_parameters(ClassifyQuery),
        "requestBody": {
            "required": True,
            "content": form_body("file", "The image.") | binary_body(),
        },
    },
)
async def classify(request: Request) -> Response:
    """Upload one image as the part `file` of a form, or as the body itself.

    The content decides what format it is: PNG, JPEG, WebP, BMP, GIF or TIFF. Of several frames or
    pages the first one is classified.
    """
    require(request, Scope.INFER)
    lifecycle, record = lifecycle_of(request), record_of(request.scope)
    choice, options = admit(lifecycle, record, request, is_one=True)
    with choice, lifecycle.uploads.share(choice.live.metrics.image_ended) as share:
        content = await read_image(request, lifecycle.request_policy, options.deadline_s, share)
        with CancelOnDisconnect(request.receive):
            live, answer = await lifecycle.director.classify(choice, content, options)
    return answer_response(record, live.id, answer)


@router.post(
    BATCH_PATH,
    summary="Classify several images",
    response_model=BatchResponse,
    responses=answer_headers(SERVER_TIMING, X_CACHE) | problems(*_ANSWER_CODES),
    openapi_extra={
        **needs_key(Scope.INFER),
        "parameters": query_parameters(ClassifyQuery),
        "requestBody": {
            "required": True,
            "content": form_body("files", "1 to KERASERVE_MAX_IMAGES_PER_REQUEST images.", True),
        },
    },
)
async def classify_batch(request: Request) -> Response:
    """Upload several images, each as a part `files` of one form.

    The answer has one entry per file, in order. A file that cannot be classified has an `error`
    in its entry, with the status and code that `/v1/classify` would have answered; the others
    are classified all the same. The `Server-Timing` header gives the longest of each stage.
    """
    require(request, Scope.INFER)
    lifecycle, record = lifecycle_of(request), record_of(request.scope)
    choice, options = admit(lifecycle, record, request, is_one=False)
    with choice, lifecycle.uploads.share(choice.live.metrics.image_ended) as share:
        uploads = await read_images(request, lifecycle.request_policy, options.deadline_s, share)
        contents = [upload.content for upload in uploads]
        with CancelOnDisconnect(request.receive):
            live, answers = await lifecycle.director.classify_many(choice, contents, options)
    total_s = record.elapsed_s()
    good = [answer for answer in answers if isinstance(answer, Classification)]
    slow = slowest(answer.timing for answer in good)
    timing = None if slow is None else timing_entry(slow, total_s)
    record.servable, record.timing = live.id, timing
    record.queue_position = None if slow is None else slow.queue_position
    failed = len(answers) - len(good)
    body = BatchResponse(
        request_id=record.request_id,
        model=live.id.name,
        version=live.id.version,
        succeeded=len(good),
        failed=failed,
        results=_entries(uploads, answers, total_s),
    )
    reuse = least_reuse(answer.reuse for answer in good)
    stages = server_timing(timing, in_ms(total_s))
    return AnswerResponse(body.model_dump_json().encode(), stages, reuse)


def _entries(
    uploads: Sequence[Upload], answers: Sequence[Classification | ServingError], total_s: float
) -> list[BatchSuccess | BatchFailure]:
    return [
        BatchFailure(filename=upload.filename, error=_error(answer))
        if isinstance(answer, ServingError)
        else BatchSuccess(
            filename=upload.filename,
            predictions=prediction_entries(answer),
            image=image_entry(answer),
            timing=timing_entry(answer.timing, total_s),
        )
        for upload, answer in zip(uploads, answers, strict=True)
    ]


def _error(error: ServingError) -> ErrorEntry:
    kind = kind_of(error)
    return ErrorEntry(status=kind.status, code=kind.code, detail=detail_of(error))
