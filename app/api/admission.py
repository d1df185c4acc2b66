"""Who answers a classification, how, and whether there is room: all that its head decides."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Scope

from app.api.query import ClassifyQuery, classify_query
from app.api.record import RequestRecord
from app.api.uploads import announced_bytes
from app.errors import BatcherStoppedError, InvalidRequestError
from app.inference.policy import RequestPolicy
from app.inference.records import ClassifyOptions
from app.lifecycle import Lifecycle
from app.rollout.choice import Choice

PATH = "/v1/classify"
BATCH_PATH = "/v1/classify/batch"


def admit(
    lifecycle: Lifecycle,
    record: RequestRecord,
    request: Request,
    *,
    is_one: bool,
    query: ClassifyQuery | None = None,
) -> tuple[Choice, ClassifyOptions]:
    """Return who answers and how; refuse whom ``refuse_early`` refuses.

    Raises:
        ServingError: As ``choose`` and ``refuse_early`` do.
    """
    choice, options = choose(lifecycle, record, request.scope, query)
    refuse_early(lifecycle, choice, options, request.scope, is_one=is_one)
    return choice, options


def choose(
    lifecycle: Lifecycle,
    record: RequestRecord,
    scope: Scope,
    query: ClassifyQuery | None = None,
) -> tuple[Choice, ClassifyOptions]:
    """Return who answers and how; only the head of the request is looked at, nothing is counted.

    Args:
        lifecycle: Of the service.
        record: Of the request; the version is noted in it.
        scope: Of the request, in ASGI.
        query: What is asked, where it does not stand in the query string alone.

    Raises:
        BatcherStoppedError: The service is stopping.
        InvalidRequestError: A parameter of the query is wrong.
        MalformedRequestError: So are two of them together.
        ServableNotFoundError: There is no such model, version or label.
        ServableNotReadyError: It cannot answer now.
    """
    if lifecycle.is_draining:
        raise BatcherStoppedError("The service is stopping and takes no new images.")
    query = query or classify_query(scope["query_string"])
    policy = lifecycle.request_policy
    timeout_s = policy.request_timeout_s
    if query.timeout_ms is not None:
        timeout_s = _timeout_s(query.timeout_ms, policy)
    key = _sticky_key(scope, policy) or record.request_id
    choice = lifecycle.director.choose(query.model, query.version, query.label, key)
    live = choice.live
    record.servable = live.id
    classes = len(live.manifest.classes)
    top_k = query.top_k
    if top_k > classes:
        if "top_k" in query.model_fields_set:
            raise InvalidRequestError(f"top_k is {top_k}; {live.id} has {classes} classes.")
        top_k = classes
    deadline_s = record.arrived_s + timeout_s
    has_own_deadline = query.timeout_ms is not None
    return choice, ClassifyOptions(
        top_k, deadline_s, query.priority, has_own_deadline, record.trace
    )


def refuse_early(
    lifecycle: Lifecycle,
    choice: Choice,
    options: ClassifyOptions,
    scope: Scope,
    *,
    is_one: bool,
    ahead: int = 0,
) -> None:
    """Refuse whoever would be refused anyway, before the body is read, and count it.

    ``ahead`` others passed a moment ago and do not wait yet.

    Raises:
        QueueFullError: There is no room.
    """
    lifecycle.director.refuse_early(
        choice, options, announced_bytes(scope), is_one=is_one, ahead=ahead
    )


def _sticky_key(scope: Scope, policy: RequestPolicy) -> str | None:
    for name, value in scope["headers"]:
        if name == policy.sticky_header:
            return str(value, "latin-1")
    return None


def _timeout_s(timeout_ms: float, policy: RequestPolicy) -> float:
    limit_ms = round(policy.request_timeout_s * 1000, 3)
    if timeout_ms > limit_ms:
        raise InvalidRequestError(
            f"timeout_ms is {timeout_ms:g}; the limit is {limit_ms:g} "
            "(KERASERVE_REQUEST_TIMEOUT_MS)."
        )
    return timeout_ms / 1000
