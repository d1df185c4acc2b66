"""A call from its first request to its end, with nobody on the other side."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any, TypeVar

import httpx
import pytest

from app.client import calls
from app.client.errors import (
    AnswerTimeoutError,
    ConnectionFailedError,
    InternalError,
    QueueFullError,
    UnexpectedAnswerError,
)
from app.client.exchange import (
    Answer,
    Outcome,
    Pause,
    Send,
    Step,
    Terms,
    await_readiness,
    converse,
)
from app.client.retrying import RetryPolicy
from tests.fakes import FakeClock

T = TypeVar("T")

GOOD = Answer(200, b'{"label": "cat", "class_id": 3, "index": 7}')
READY = Answer(200, b'{"status": "ready"}')
UNREADY = Answer(503, b'{"status": "unready", "reasons": ["cifar10: WARMING"]}')
REFUSED = httpx.ConnectError("refused")


def problem(status: int, code: str, retry_after: str | None = None) -> Answer:
    document = {"title": "x", "status": status, "code": code, "detail": "why", "request_id": "r1"}
    return Answer(status, json.dumps(document).encode(), retry_after)


FULL = problem(429, "queue_full", "2")


class Peer:
    """Answers what is sent with one outcome after the other, on a clock of its own.

    Attributes:
        steps: What was asked of it, with the time.
    """

    def __init__(self, *outcomes: Outcome, retries: int = 2, takes_s: float = 0.0) -> None:
        self.clock = FakeClock(0)
        self.steps: list[tuple[float, Step]] = []
        retrying = RetryPolicy(retries)
        self.terms = Terms("http://there", 30, retrying, self.clock, lambda: 1.0)
        self._outcomes = iter(outcomes)
        self._takes_s = takes_s

    def carry_out(self, conversation: Generator[Step, Outcome, T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = conversation.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            self.steps.append((self.clock(), step))
            if isinstance(step, Send):
                is_late = self._takes_s > step.within_s
                outcome = httpx.ReadTimeout("") if is_late else next(self._outcomes)
                self.clock.advance(min(self._takes_s, step.within_s))
            else:
                self.clock.advance(step.seconds)
                outcome = None

    def ask(self, call: calls.Call[T]) -> T:
        return self.carry_out(converse(call, self.terms))

    @property
    def sent(self) -> int:
        return sum(isinstance(step, Send) for _, step in self.steps)

    @property
    def pauses(self) -> list[float]:
        return [step.seconds for _, step in self.steps if isinstance(step, Pause)]


def test_answer_becomes_the_record_of_its_route() -> None:
    peer = Peer(GOOD)

    entry = peer.ask(calls.real("cifar10", 7))

    assert (entry.index, entry.label, entry.class_id) == (7, "cat", 3)
    assert peer.pauses == []


def test_refusal_is_repeated_when_the_server_says() -> None:
    peer = Peer(FULL, FULL, GOOD)

    assert peer.ask(calls.real("cifar10", 7)).label == "cat"
    assert peer.pauses == [2, 2]
    assert [step.within_s for _, step in peer.steps if isinstance(step, Send)] == [30, 28, 26]


def test_refusal_that_stays_is_raised_with_all_it_says() -> None:
    peer = Peer(*[FULL] * 3)

    with pytest.raises(QueueFullError, match="why") as raised:
        peer.ask(calls.models())

    error = raised.value
    assert (error.status, error.code, error.request_id, error.retry_after_s) == (
        429, "queue_full", "r1", 2,
    )  # fmt: skip
    assert peer.sent == 3


def test_all_of_a_call_is_within_its_timeout() -> None:
    peer = Peer(*[FULL] * 100, retries=99, takes_s=5)

    with pytest.raises(AnswerTimeoutError):
        peer.ask(calls.models())

    assert peer.clock() == 30
    assert peer.sent == 5  # at 0, 7, 14, 21 and 28 s


def test_failed_connection_is_tried_again_and_named_with_its_cause() -> None:
    peer = Peer(REFUSED, REFUSED, REFUSED)

    with pytest.raises(ConnectionFailedError, match="http://there does not answer: ref") as raised:
        peer.ask(calls.models())

    assert raised.value.__cause__ is REFUSED
    assert peer.pauses == [0.1, 0.2]


def test_order_that_may_have_arrived_is_not_sent_twice() -> None:
    order = calls.request_json("POST", "/v1/admin/reload")
    peer = Peer(httpx.ReadError("reset"))
    with pytest.raises(ConnectionFailedError):
        peer.ask(order)
    assert peer.sent == 1

    peer = Peer(REFUSED, Answer(200, b"{}"))
    assert peer.ask(order) == {}


def test_classification_may_be_sent_twice() -> None:
    peer = Peer(httpx.ReadError("reset"), problem(500, "internal"))
    with pytest.raises(InternalError):
        peer.ask(calls.classify(b"image"))
    assert peer.sent == 2


def test_waits_on_purpose_come_on_top_of_the_timeout() -> None:
    peer = Peer(httpx.ReadTimeout(""))
    with pytest.raises(AnswerTimeoutError, match=r"within 630 s \(timeout_s\)"):
        peer.ask(calls.request_json("POST", "/v1/admin/reload", wait_s=600))
    assert peer.sent == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(Answer(200, b"<html>"), "what Keraserve does not: the body", id="no JSON"),
        pytest.param(
            Answer(200, b"{}"), "does not: index: Field required", id="a field is missing"
        ),
        pytest.param(Answer(404, b"<h1>no</h1>"), "answered 404; is it a Ke.*no", id="no problem"),
        pytest.param(Answer(302, b""), "answered 302.*nothing", id="redirect"),
        pytest.param(Answer(500, b"\xff" * 900), "answered 500.*\ufffd{200}$", id="binary"),
    ],
)
def test_answer_of_something_else_is_told_from_a_refusal(answer: Answer, told: str) -> None:
    with pytest.raises(UnexpectedAnswerError, match=told) as raised:
        Peer(answer).ask(calls.real("cifar10", 0))
    assert raised.value.status == answer.status


@pytest.mark.parametrize("header", [None, "", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "inf", "nan"])
def test_unusable_retry_after_counts_as_none(header: str | None) -> None:
    peer = Peer(problem(503, "draining", header), GOOD)
    peer.ask(calls.real("cifar10", 0))
    assert peer.pauses == [0.1]


def test_readiness_is_waited_for_until_it_is_there() -> None:
    peer = Peer(REFUSED, UNREADY, FULL, READY, retries=0)

    peer.carry_out(await_readiness(60, peer.terms))

    assert peer.sent == 4


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        pytest.param(UNREADY, "cifar10: WARMING", id="loads"),
        pytest.param(REFUSED, "does not answer: refused", id="is not there"),
    ],
)
def test_server_that_does_not_become_ready_is_given_up_with_its_reason(
    outcome: Outcome, told: str
) -> None:
    peer = Peer(*[outcome] * 1000)

    with pytest.raises(AnswerTimeoutError, match=rf"not ready within 60 s \(timeout_s\): .*{told}"):
        peer.carry_out(await_readiness(60, peer.terms))

    assert 59 < peer.clock() <= 60


def test_unready_is_an_answer_of_the_route_that_says_so() -> None:
    found: Any = Peer(UNREADY).ask(calls.readiness())
    assert found.reasons == ["cifar10: WARMING"]


def test_names_stay_one_part_of_the_path() -> None:
    assert calls.model("a/b?c").path == "/v1/models/a%2Fb%3Fc"
    assert calls.sample_image("m", 3).path == "/v1/models/m/samples/3/image"


def test_what_is_not_said_is_left_to_the_server() -> None:
    call = calls.classify(b"x", top_k=2, priority="bulk")
    assert call.parameters == {"top_k": 2, "priority": "bulk"}
