"""Refusals are logged once a second, however many there are."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from app.api.accounts import RequestAccounts
from app.api.flight_recorder import FlightRecorder
from app.api.middleware import RequestMiddleware
from app.api.problems import error_response
from app.api.record import RequestRecord
from app.api.refusal_log import PERIOD_S, RefusalLog
from app.errors import QueueFullError
from app.inference.policy import RecorderPolicy
from app.metrics import Metrics
from app.types import ServableId
from tests.api.call import Call
from tests.api.world import serving, until
from tests.fakes import FakeClock

ROUTE = "/v1/classify"


def refused(model: str = "cifar10") -> RequestRecord:
    return RequestRecord("id", 0.0, 0.0, ServableId(model, 1), error_code="queue_full")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "app.request")
    return caplog


def counts(lines: pytest.LogCaptureFixture) -> list[tuple[Any, ...]]:
    found = [vars(line) for line in lines.records if line.message == "requests refused"]
    return [(each["servable"], each["route"], each["requests"]) for each in found]


def test_first_has_its_own_line_and_the_rest_of_the_second_a_common_one(
    lines: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    log = RefusalLog(clock.call_later)
    assert not log.takes(refused(), ROUTE)
    assert all(log.takes(refused(), ROUTE) for _ in range(5))
    assert log.takes(refused("other"), ROUTE)
    clock.advance(PERIOD_S / 2)
    assert counts(lines) == []
    clock.advance(PERIOD_S / 2)
    assert counts(lines) == [("cifar10:1", ROUTE, 5), ("other:1", ROUTE, 1)]


def test_refusals_for_limits_are_counted_by_key_and_never_by_address(
    lines: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    log = RefusalLog(clock.call_later)
    limited = [RequestRecord("id", 0.0, 0.0, error_code="rate_limited", by=by)
               for by in ("mine", "mine", "yours", None)]  # fmt: skip
    assert [log.takes(each, ROUTE) for each in limited] == [False, True, True, True]
    assert log.takes(refused(), ROUTE)
    clock.advance(PERIOD_S)
    found = [vars(line) for line in lines.records]
    assert [(each["error"], each.get("by"), each.get("servable")) for each in found] == [
        ("rate_limited", "mine", None),
        ("rate_limited", "yours", None),
        ("rate_limited", "an address", None),
        ("queue_full", None, "cifar10:1"),
    ]


def test_each_second_with_refusals_has_a_line_and_after_one_without_all_begins_anew(
    lines: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    log = RefusalLog(clock.call_later)
    assert not log.takes(refused(), ROUTE)
    for _ in range(3):
        assert log.takes(refused(), ROUTE)
        clock.advance(PERIOD_S)
    assert counts(lines) == [("cifar10:1", ROUTE, 1)] * 3
    clock.advance(PERIOD_S)
    assert clock.timers == []
    assert not log.takes(refused(), ROUTE)
    clock.advance(PERIOD_S)
    assert len(counts(lines)) == 3, "a lone one is not logged twice"


def test_what_was_counted_is_logged_when_the_service_ends(lines: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    log = RefusalLog(clock.call_later)
    log.takes(refused(), ROUTE)
    log.takes(refused(), ROUTE)
    log.flush()
    assert counts(lines) == [("cifar10:1", ROUTE, 1)]
    assert clock.timers == []


async def test_what_was_counted_is_logged_where_the_service_ends_in_a_failure(
    lines: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise OSError("the disk hangs")
        error = QueueFullError("full", retry_after_s=1)
        await error_response(scope, error)(scope, receive, send)

    middleware = RequestMiddleware(
        app,
        RequestAccounts(Metrics(CollectorRegistry(), (1,)), FlightRecorder(RecorderPolicy())),
    )
    for _ in range(3):
        call = Call(middleware)
        await call.end()
        assert call.status == 429
    with pytest.raises(OSError, match="hangs"):
        await middleware({"type": "lifespan"}, asyncio.Queue[Message]().get, AsyncMock())
    assert counts(lines) == [("None", "unmatched", 2)]


def test_other_requests_are_logged_each() -> None:
    log = RefusalLog(FakeClock().call_later)
    for code in (None, "invalid_image", "deadline_exceeded", "draining"):
        record = refused()
        record.error_code = code
        assert not log.takes(record, ROUTE)


async def test_metrics_count_all_of_them_and_the_log_the_first(
    tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    limits = {"max_batch_size": 1, "max_queue_size": 1, "max_images_per_request": 1}
    async with serving(tmp_path, **limits) as world:
        accepted = [*await world.occupy(), world.begin()]
        await until(lambda: world.batcher.queue_size == 1)
        for _ in range(5):
            assert (await world.classify()).status_code == 429
        assert world.count("requests_total", route=ROUTE, method="POST", code="429") == 5
        assert world.count("images_total", model="cifar10", version="1", outcome="queue_full") == 5
        own = [line for line in lines.records if vars(line).get("status") == 429]
        assert len(own) == 1
        assert vars(own[0])["error"] == "queue_full"
        world.puppet.let_go()
        for task in accepted:
            await task
