"""One call from its first request to its result or error, whoever sends and waits.

``converse`` yields what is to be done next and is sent what came of it: it neither sends nor waits,
so that the sync and the async client share all that is to be decided.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from app.client.calls import Call, readiness
from app.client.errors import (
    AnswerTimeoutError,
    ConnectionFailedError,
    KeraserveError,
    UnexpectedAnswerError,
    problem_class,
)
from app.client.retrying import RetryPolicy
from app.schemas.answers import Problem, Readiness

T = TypeVar("T")

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_PROBLEM = TypeAdapter(Problem)
_MAX_SHOWN = 200
_LOOK_EVERY_S = 0.25
"""At a server that is not ready: loading takes seconds, and an answer under a millisecond."""


@dataclass(frozen=True, slots=True)
class Send:
    """To do: send a request, and read its whole answer within ``within_s``."""

    call: Call[Any]
    within_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """To do: nothing, for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; ``retry_after`` is the header as it came."""

    status: int
    content: bytes
    retry_after: str | None = None


Step: TypeAlias = Send | Pause
Outcome: TypeAlias = "Answer | httpx.RequestError | None"


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every call of a client.

    Attributes:
        url: Of the server, for messages.
        timeout_s: For a call as a whole.
        retrying: When it is sent again.
        clock: Monotonic, s.
        draw: Draws 0..1.
    """

    url: str
    timeout_s: float
    retrying: RetryPolicy
    clock: Callable[[], float]
    draw: Callable[[], float] = random.random


def converse(call: Call[T], terms: Terms) -> Generator[Step, Outcome, T]:
    """Bring one call to its end.

    Yields:
        What to do next; of ``Send`` it takes the answer or what failed, of ``Pause`` None.

    Returns:
        The result.

    Raises:
        KeraserveError: One of its subclasses.
    """
    timeout_s = terms.timeout_s + call.wait_s
    stop_by_s = terms.clock() + timeout_s
    failures = 0
    while True:
        outcome = yield Send(call, stop_by_s - terms.clock())
        cause = outcome if isinstance(outcome, Exception) else None
        result = _judge(call, outcome, terms.url, timeout_s)
        if not isinstance(result, KeraserveError):
            return result
        wait_s = terms.retrying.wait_s(
            result,
            failures=failures,
            left_s=stop_by_s - terms.clock(),
            is_repeatable=call.is_repeatable,
            chance=terms.draw(),
        )
        if wait_s is None:
            raise result from cause
        failures += 1
        yield Pause(wait_s)


def await_readiness(timeout_s: float, terms: Terms) -> Generator[Step, Outcome, None]:
    """Ask until the server is ready, as ``converse`` does.

    Raises:
        AnswerTimeoutError: It was not, for ``timeout_s``; says why.
    """
    call = readiness()
    stop_by_s = terms.clock() + timeout_s
    while True:
        outcome = yield Send(call, min(terms.timeout_s, stop_by_s - terms.clock()))
        result = _judge(call, outcome, terms.url, terms.timeout_s)
        if isinstance(result, Readiness):
            return
        if stop_by_s - terms.clock() <= _LOOK_EVERY_S:
            told = result if isinstance(result, KeraserveError) else "; ".join(result.reasons)
            raise AnswerTimeoutError(
                f"{terms.url} was not ready within {timeout_s:g} s (timeout_s): {told}"
            )
        yield Pause(_LOOK_EVERY_S)


def _judge(call: Call[T], outcome: Outcome, url: str, timeout_s: float) -> T | KeraserveError:
    if isinstance(outcome, httpx.RequestError):
        return _failure(outcome, url, timeout_s)
    assert outcome is not None, "only of a pause"
    if outcome.status not in call.statuses:
        return _problem(outcome, url)
    try:
        return call.read(outcome.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        return UnexpectedAnswerError(
            f"{url} answered {call.path} with what Keraserve does not: {where}: {first['msg']}",
            status=outcome.status,
        )


def _failure(error: httpx.RequestError, url: str, timeout_s: float) -> KeraserveError:
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return AnswerTimeoutError(f"{url} has not answered within {timeout_s:g} s (timeout_s)")
    reason = str(error) or type(error).__name__
    return ConnectionFailedError(
        f"{url} does not answer: {reason}", may_have_arrived=not isinstance(error, _NOTHING_SENT)
    )


def _problem(answer: Answer, url: str) -> KeraserveError:
    try:
        problem = _PROBLEM.validate_json(answer.content)
    except ValidationError:
        shown = answer.content[:_MAX_SHOWN].decode(errors="replace").strip() or "nothing"
        return UnexpectedAnswerError(
            f"{url} answered {answer.status}; is it a Keraserve server? It says: {shown}",
            status=answer.status,
            retry_after_s=_seconds(answer.retry_after),
        )
    return problem_class(problem.code, answer.status)(
        problem.detail,
        status=answer.status,
        code=problem.code,
        request_id=problem.request_id,
        retry_after_s=_seconds(answer.retry_after),
    )


def _seconds(retry_after: str | None) -> float | None:
    """Read ``Retry-After``; a date, which Keraserve never sends, counts as nothing."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
