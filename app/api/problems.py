"""The problem document (RFC 9457): every code with its status, and how errors become one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import TypeAdapter
from starlette.responses import Response
from starlette.types import Scope

from app.api.record import record_of
from app.errors import QueueFullError, RateLimitedError, ServingError, UnauthenticatedError
from app.schemas.answers import Problem

MEDIA_TYPE = "application/problem+json"
_MEDIA_TYPE = MEDIA_TYPE.encode("ascii")
_WRITE_PROBLEM = TypeAdapter(Problem).serializer.to_json

CLIENT_CLOSED_REQUEST = 499
"""In the log and the metrics only: the client left, nobody read an answer."""


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One way for a request to fail.

    Attributes:
        status: HTTP status.
        code: What machines tell it by.
        example: A detail as callers see it.
        retry_after_s: For ``Retry-After`` where the error itself does not say.
    """

    status: int
    code: str
    example: str
    retry_after_s: int | None = None


_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    507: "Insufficient Storage",
}

_KINDS = (
    ProblemKind(400, "malformed_request", "version 1 and label 'stable': give one of them"),
    ProblemKind(
        401,
        "unauthenticated",
        "The request carries no API key. This takes one with the scope infer "
        "(KERASERVE_API_KEYS_FILE), sent as 'Authorization: Bearer <key>'.",
    ),
    ProblemKind(
        403,
        "forbidden",
        "The key dashboard has the scope metrics; this takes one with the scope infer "
        "(KERASERVE_API_KEYS_FILE).",
    ),
    ProblemKind(404, "model_not_found", "there is no model 'cifar'; there is: cifar10"),
    ProblemKind(404, "version_not_found", "cifar10 has no version 7; it has: 1"),
    ProblemKind(404, "label_not_found", "cifar10 has no label 'beta'; it has: stable"),
    ProblemKind(
        404,
        "samples_unavailable",
        "There are no labelled samples of cifar10: version 4 has none of its own, and "
        "data/samples/cifar10.npz does not exist (KERASERVE_SAMPLES_DIR). For the models that "
        "Keraserve brings, `make samples` makes it; for others, `keraserve-train samples cifar10 "
        "--data PATH`.",
    ),
    ProblemKind(404, "sample_not_found", "cifar10 has no sample 10000; it has: 0 to 9999"),
    ProblemKind(404, "not_found", "There is no GET /v1/model; /docs lists what there is."),
    ProblemKind(405, "method_not_allowed", "/v1/classify does not take GET; it takes POST."),
    ProblemKind(
        409,
        "conflict",
        "version 2 of cifar10 answers by default and no other version could; "
        "without a version the whole model is unloaded",
    ),
    ProblemKind(
        413,
        "upload_too_large",
        "The file has at least 31,457,280 bytes; the limit is 20,971,520 "
        "(KERASERVE_MAX_UPLOAD_BYTES).",
    ),
    ProblemKind(
        413,
        "image_too_large",
        "The image has 120,000,000 pixels; the limit is 50,000,000 (KERASERVE_MAX_IMAGE_PIXELS).",
    ),
    ProblemKind(
        413,
        "too_many_images",
        "The request carries more than 64 files (KERASERVE_MAX_IMAGES_PER_REQUEST).",
    ),
    ProblemKind(
        415,
        "unsupported_format",
        "The file is not a known image; enabled formats: PNG, JPEG, WEBP, BMP, GIF, TIFF.",
    ),
    ProblemKind(422, "invalid_image", "The PNG image cannot be decoded: image file is truncated."),
    ProblemKind(422, "invalid_request", "There is no part 'file' in the request."),
    ProblemKind(
        429,
        "queue_full",
        "1,024 images wait and 1 more came; the limit is 1,024 (KERASERVE_MAX_QUEUE_SIZE).",
    ),
    ProblemKind(
        429,
        "rate_limited",
        "The key photo-app has asked for more than 20 requests per second, and more than 40 at "
        "once (KERASERVE_KEY_RATE_PER_S, KERASERVE_KEY_BURST); the next one may come in 0.05 s.",
    ),
    ProblemKind(500, "execution_failed", "The network failed on this image."),
    ProblemKind(500, "internal", "The server failed; its log has the cause under the request id."),
    # Loading and warm-up take seconds.
    ProblemKind(503, "not_ready", "cifar10 is not ready: WARMING", retry_after_s=5),
    # Another instance behind the same load balancer takes over at once.
    ProblemKind(503, "draining", "The service is stopping and takes no new images.", 1),
    ProblemKind(504, "deadline_exceeded", "The deadline passed before the answer was there."),
    ProblemKind(
        507,
        "store_not_written",
        "models/labels.json cannot be written: No space left on device",
    ),
)

KINDS = {kind.code: kind for kind in _KINDS}
"""The one table from the code of an error to its status."""

# What went wrong inside is for the log: the message may name paths, sizes or library internals.
_HIDDEN = frozenset(kind.code for kind in _KINDS if kind.status == 500)


def title_of(status: int) -> str:
    """Return the status in words."""
    return _TITLES.get(status, "Error")


def kind_of(error: ServingError) -> ProblemKind:
    """Return how an error is shown; one that the table does not know is ``internal``."""
    return KINDS.get(error.code, KINDS["internal"])


def detail_of(error: ServingError) -> str:
    """Return what the caller may read about an error."""
    kind = kind_of(error)
    return kind.example if kind.code in _HIDDEN else str(error)


def problem_response(
    scope: Scope, kind: ProblemKind, detail: str, headers: dict[str, str] | None = None
) -> Response:
    """Build the answer to a request that failed, and note its code in the request's record."""
    record = record_of(scope)
    record.error_code = kind.code
    document = Problem(
        title=title_of(kind.status),
        status=kind.status,
        code=kind.code,
        detail=detail,
        request_id=record.request_id,
    )
    headers = headers or {}
    if kind.retry_after_s is not None:
        headers = {"Retry-After": str(kind.retry_after_s), **headers}
    return _ProblemResponse(_WRITE_PROBLEM(document), kind.status, headers)


class _ProblemResponse(Response):
    """A document that is written already.

    As ``AnswerResponse``: under overload it is most of what is answered.
    """

    def __init__(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        """Take what is to be sent."""
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            *[
                (name.lower().encode("latin-1"), text.encode("latin-1"))
                for name, text in headers.items()
            ],
            (b"content-length", b"%d" % len(body)),
            (b"content-type", _MEDIA_TYPE),
        ]


def error_response(scope: Scope, error: ServingError) -> Response:
    """Build the answer to a request that ended in an error of ours."""
    headers = {}
    if error.progress is not None:
        record_of(scope).note_progress(error.progress)
    if isinstance(error, QueueFullError | RateLimitedError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    elif isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    return problem_response(scope, kind_of(error), detail_of(error), headers)
