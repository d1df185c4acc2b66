"""The id of a request, and the one line that the log has for it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from app.api.record import STATE_KEY, RequestRecord, make_request_id
from tests.api.call import Call
from tests.api.world import World, assert_problem, picture

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
LINE = [
    "request_id", "route", "method", "status", "model", "version", "batch_size", "decode_ms",
    "queue_ms", "execute_ms", "total_ms",
]  # fmt: skip


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "app.request"]


def fields(record: logging.LogRecord) -> Mapping[str, Any]:
    return vars(record)


@pytest.mark.parametrize("request_id", ["abc", "!~", "x" * 128, "7b0e-4c1d/ü".replace("ü", "u")])
async def test_id_of_the_caller_is_echoed(world: World, request_id: str) -> None:
    response = await world.client.get("/livez", headers={"X-Request-Id": request_id})
    assert response.headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 129, "two words", "tab\t", "\xfc", "\x7f"])
async def test_unfit_id_of_the_caller_is_replaced(world: World, request_id: str) -> None:
    headers = httpx.Headers([(b"x-request-id", request_id.encode("latin-1"))])
    response = await world.client.get("/livez", headers=headers)
    assert ULID.fullmatch(response.headers["x-request-id"])


async def test_made_ids_differ(world: World) -> None:
    ids = {(await world.client.get("/livez")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


async def test_id_stands_in_answers_and_problems(world: World) -> None:
    headers = {"X-Request-Id": "mine"}
    answer = await world.client.post("/v1/classify", files={"file": picture()}, headers=headers)
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine"
    problem = await world.client.get("/nowhere", headers=headers)
    assert assert_problem(problem, 404, "not_found")["request_id"] == "mine"


def test_ids_are_ulids_that_sort_by_time() -> None:
    assert make_request_id(0, 0) == "0" * 26
    assert make_request_id(1469918176385, 0)[:10] == "01ARYZ6S41"  # of the ULID specification
    assert make_request_id((1 << 48) - 1, (1 << 80) - 1) == "7" + "Z" * 25
    assert make_request_id(1, 0) > make_request_id(0, (1 << 80) - 1)


async def test_classification_has_one_line_with_all_fields(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "app.request")
    response = await world.classify()
    (line,) = lines(caplog)
    assert (line.message, line.levelno) == ("request", logging.INFO)
    found = fields(line)
    assert [name for name in found if name in LINE] == LINE
    assert found["request_id"] == response.headers["x-request-id"]
    assert (found["route"], found["method"], found["status"]) == ("/v1/classify", "POST", 200)
    assert (found["model"], found["version"]) == ("cifar10", 1)
    timing = response.json()["timing"]
    for name in ("batch_size", "decode_ms", "queue_ms", "execute_ms"):
        assert found[name] == timing[name]
    assert found["total_ms"] >= timing["total_ms"]


async def test_refused_request_has_one_line_with_its_code(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "app.request")
    await world.classify(b"no image")
    (line,) = lines(caplog)
    assert line.levelno == logging.INFO
    assert (fields(line)["status"], fields(line)["error"]) == (415, "unsupported_format")


async def test_fault_of_the_server_is_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "app.request")
    world.lifecycle.refuse()
    await world.classify()
    (line,) = lines(caplog)
    assert line.levelno == logging.WARNING
    assert (fields(line)["status"], fields(line)["error"]) == (503, "draining")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/ping", "/metrics", "/v2/health/ready"])
async def test_probes_and_scrapes_are_logged_for_debugging_only(
    world: World, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "app.request")
    world.lifecycle.begin_drain()
    await world.client.get(path)
    assert [line.levelno for line in lines(caplog)] == [logging.DEBUG]


async def test_nothing_is_written_below_the_level_of_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "app.request")
    assert (await world.classify()).status_code == 200
    assert lines(caplog) == []


async def test_time_of_a_request_runs_from_where_the_server_took_note_of_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Bodies may be waited for before a request is begun."""
    caplog.set_level(logging.INFO, "app.request")
    arrived_s = asyncio.get_running_loop().time() - 1000
    noted = RequestRecord("noted", time.perf_counter() - 1000, arrived_s, error_code="of before")
    call = Call(world.app, state={STATE_KEY: noted})
    call.feed(picture())
    await call.end()
    assert call.status == 504, "its deadline has passed since"
    (line,) = lines(caplog)
    assert fields(line)["request_id"] == "noted"
    assert fields(line)["total_ms"] >= 1_000_000
    assert noted.error_code == "of before", "a record of its own"
