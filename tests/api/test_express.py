"""What is answered without a task: as the route answers it, once, whoever leaves or stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.api.express import ExpressRequest
from app.inference.service import QUICK_UPLOAD_BYTES
from tests.api.doorway import ROUTE, Doorway, Line, doorway, message
from tests.api.test_canary import serving_canary
from tests.api.test_shadow import images as shadow_images
from tests.api.test_shadow import serving_shadow
from tests.api.world import World, picture, serving, until
from tests.factories.images import encode, noise_image
from tests.fakes import scores_of

pytestmark = pytest.mark.timeout(20)

ELSEWHERE = "Origin: https://a.org"
"""Sends a request the way of every request; nothing else is made of it where CORS is not set."""
ONE = {"model": "cifar10", "version": "1"}
SETTINGS: dict[str, Any] = {"max_batch_size": 1, "max_queue_size": 2, "max_images_per_request": 1}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Doorway]:
    async with serving(tmp_path, **SETTINGS) as world, doorway(world) as door:
        yield door


@pytest.fixture(params=["express", "route"])
def way(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The headers that send a request the one way or the other."""
    return () if request.param == "express" else (ELSEWHERE,)


def is_on(door: Doorway, way: tuple[str, ...]) -> bool:
    return bool(door.begun) == bool(way)


def leases(world: World) -> int:
    return world.lifecycle.director.choose(None, None, None, key="").live.leases.held


def outcomes(world: World) -> dict[str, float]:
    """``images_total`` by outcome, without the zeros."""
    found = world.lifecycle.metrics.registry.collect()
    samples = [sample for family in found for sample in family.samples]
    return {
        sample.labels["outcome"]: sample.value
        for sample in samples
        if sample.name == "keraserve_images_total" and sample.value
    }


def codes(world: World) -> dict[str, float]:
    """``requests_total`` by code."""
    found = world.lifecycle.metrics.registry.collect()
    samples = [sample for family in found for sample in family.samples]
    return {
        sample.labels["code"]: sample.value
        for sample in samples
        if sample.name == "keraserve_requests_total" and sample.labels["route"] == ROUTE
    }


def assert_over(world: World) -> None:
    """Assert that nothing is under way, and no version is kept."""
    assert world.count("in_flight_requests") == 0
    assert leases(world) == 0
    assert world.batcher.is_idle


def part(content: bytes, name: str = "file") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    return head.encode() + content + b"\r\n--b--\r\n"


FORM = "multipart/form-data; boundary=b"


# ---- as the route -------------------------------------------------------------------------------


async def test_usual_request_takes_the_express_lane(door: Doorway) -> None:
    line = await door.connect()
    for body, kind in ((picture(), "image/png"), (part(picture()), FORM)):
        line.send(message(body, content_type=kind))
        assert (await line.answer()).status == 200
    assert door.begun == []


async def test_both_ways_give_the_same_answer(door: Doorway) -> None:
    line = await door.connect()
    answers = []
    for headers in ((), (ELSEWHERE,)):
        line.send(message(picture(), *headers, query="top_k=2"))
        answers.append(await line.answer())
    assert door.begun == [ROUTE], "the second one"
    soon, later = answers
    assert soon.names == later.names
    assert soon.status == later.status == 200
    for name in set(soon.names) - {"server-timing", "content-length", "date"}:
        assert soon.header(name) == later.header(name)
    for answer in answers:
        timing = answer.document["timing"]
        assert set(timing) == {"decode_ms", "queue_ms", "execute_ms", "total_ms", "batch_size"}
        parts = [f"{name};dur={timing[f'{name}_ms']}" for name in
                 ("decode", "queue", "execute", "total")]  # fmt: skip
        assert answer.header("server-timing") == ", ".join(parts)
    untimed = [{**answer.document, "timing": None} for answer in answers]
    assert untimed[0] == untimed[1]
    assert list(soon.document) == list(later.document)


async def test_answer_has_the_scores_of_its_own_image(door: Doorway) -> None:
    lines = [await door.connect() for _ in range(SETTINGS["max_queue_size"])]
    for seed, line in enumerate(lines):
        line.send(message(picture(seed)))
    for seed, line in enumerate(lines):
        found = {
            each["class_id"]: each["score"]
            for each in (await line.answer()).document["predictions"]
        }
        pixels = np.asarray(noise_image(4, 4, seed=seed))[np.newaxis]
        assert [found[k] for k in range(3)] == pytest.approx(scores_of(pixels, 3)[0].tolist())
    assert door.begun == []


async def test_answer_is_counted_and_logged_once(
    door: Doorway, way: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request")
    line = await door.connect()
    line.send(message(picture(), *way))
    assert (await line.answer()).status == 200
    world = door.world
    await until(lambda: not door.state.tasks)
    assert is_on(door, way)
    assert outcomes(world) == {"ok": 1}
    assert codes(world) == {"200": 1}
    assert world.count("request_duration_seconds_count", route=ROUTE) == 1
    assert world.count("decode_duration_seconds_count", format="PNG") == 1
    assert world.count("queue_delay_seconds_count", **ONE) == 1
    assert world.count("prediction_confidence_count", **ONE) == 1
    assert_over(world)
    (record,) = [each for each in caplog.records if each.name == "app.request"]
    fields = [
        "request_id", "route", "method", "status", "model", "version", "batch_size", "decode_ms",
        "queue_ms", "execute_ms", "total_ms",
    ]  # fmt: skip
    found = vars(record)
    assert [name for name in found if name in fields] == fields
    assert (found["request_id"], found["route"], found["status"]) == ("mine", ROUTE, 200)
    assert (found["method"], found["model"], found["version"]) == ("POST", "cifar10", 1)


LARGE = encode(Image.new("L", (500, 500), 7), "PNG")
"""Few bytes, many pixels."""

WRONG = {
    "no body": (message(b""), 422, None),
    "no image": (message(b"no image"), 415, "invalid"),
    "cut off": (message(picture()[:40]), 422, "invalid"),
    "empty part": (message(part(b""), content_type=FORM), 422, "invalid"),
    "another part": (message(part(picture(), "image"), content_type=FORM), 422, None),
    "no boundary": (message(part(picture()), content_type="multipart/form-data"), 400, None),
    "broken form": (message(b"--b\r\nx", content_type=FORM), 400, None),
    "another type": (message(picture(), content_type="text/plain"), 415, None),
    "encoded": (message(picture(), "Content-Encoding: gzip"), 415, None),
    "unknown model": (message(picture(), query="model=none"), 404, None),
    "unknown version": (message(picture(), query="version=7"), 404, None),
    "version and label": (message(picture(), query="version=1&label=stable"), 400, None),
    "unknown parameter": (message(picture(), query="colour=red"), 422, None),
    "too many labels": (message(picture(), query="top_k=99"), 422, None),
    "too long a deadline": (message(picture(), query="timeout_ms=9999999"), 422, None),
}  # fmt: skip


@pytest.mark.parametrize(("request_bytes", "status", "outcome"), WRONG.values(), ids=list(WRONG))
async def test_wrong_request_is_told_and_counted_once_as_by_the_route(
    door: Doorway, request_bytes: bytes, status: int, outcome: str | None
) -> None:
    line = await door.connect()
    line.send(request_bytes)
    soon = await line.answer()
    assert outcomes(door.world) == ({} if outcome is None else {outcome: 1})
    assert codes(door.world) == {str(status): 1}
    line.send(request_bytes.replace(b"Host: test", f"Host: test\r\n{ELSEWHERE}".encode()))
    later = await line.answer()
    assert (soon.status, soon.names, soon.document) == (status, later.names, later.document)
    line.send(message(picture()))
    assert (await line.answer()).status == 200
    await until(lambda: not door.state.tasks)
    assert_over(door.world)


async def test_many_pixels_in_few_bytes_are_left_to_the_decode_threads(door: Doorway) -> None:
    assert len(LARGE) < QUICK_UPLOAD_BYTES / 2
    line = await door.connect()
    line.send(message(LARGE))
    assert (await line.answer()).document["image"]["width"] == 500
    assert door.begun == [ROUTE]
    assert outcomes(door.world) == {"ok": 1}
    assert door.world.decoded == 1


async def test_failing_network_is_told_in_general_words(
    door: Doorway, way: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> Any:
        raise ValueError("secret")

    door.world.puppet.behave = fail
    line = await door.connect()
    line.send(message(picture(), *way))
    answer = await line.answer()
    assert is_on(door, way)
    assert (answer.status, answer.document["code"]) == (500, "execution_failed")
    assert b"secret" not in answer.body
    assert outcomes(door.world) == {"execution_failed": 1}
    assert codes(door.world) == {"500": 1}
    assert [each.levelname for each in caplog.records if each.name == "app.request"].count("ERROR")


async def test_row_that_is_no_number_fails_its_own_image(
    door: Doorway, way: tuple[str, ...]
) -> None:
    door.world.puppet.behave = lambda images: np.full((len(images), 3), np.nan, np.float32)
    line = await door.connect()
    line.send(message(picture(), *way))
    assert (await line.answer()).document["code"] == "execution_failed"
    assert is_on(door, way)
    assert outcomes(door.world) == {"execution_failed": 1}


async def test_row_that_names_no_class_is_an_internal_error(
    door: Doorway, way: tuple[str, ...]
) -> None:
    """A callback has no caller that would turn what it raises into an answer."""
    door.world.puppet.behave = lambda images: np.eye(4, dtype=np.float32)[[3] * len(images)]
    line = await door.connect()
    line.send(message(picture(), *way))
    answer = await line.answer()
    assert is_on(door, way)
    assert (answer.status, answer.document["code"]) == (500, "internal")
    assert outcomes(door.world) == {"execution_failed": 1}
    await until(lambda: not door.state.tasks)
    assert codes(door.world) == {"500": 1}
    assert_over(door.world)


async def test_deadline_passes_while_the_network_works(door: Doorway, way: tuple[str, ...]) -> None:
    world = door.world
    world.puppet.hold()
    line = await door.connect()
    line.send(message(picture(), *way, query="timeout_ms=1"))
    answer = await line.answer()
    assert is_on(door, way)
    assert (answer.status, answer.document["code"]) == (504, "deadline_exceeded")
    assert outcomes(world) == {"deadline": 1}
    assert leases(world) == 0
    world.puppet.let_go()
    line.send(message(picture(), *way))
    assert (await line.answer()).status == 200


async def test_full_queue_refuses_and_counts_once(door: Doorway) -> None:
    world = door.world
    waiting = await world.occupy()
    lines = [await door.connect() for _ in range(3)]
    for line in lines[:2]:
        await door.send_queued(line, message(picture()))
    lines[2].send(message(picture()))
    answer = await lines[2].answer()
    assert (answer.status, answer.document["code"]) == (429, "queue_full")
    assert outcomes(world) == {"queue_full": 1}
    world.puppet.let_go()
    assert [(await line.answer()).status for line in lines[:2]] == [200, 200]
    assert [(await task).status_code for task in waiting] == [200, 200]
    assert outcomes(world) == {"queue_full": 1, "ok": 4}
    await until(lambda: not door.state.tasks)
    assert_over(world)


async def test_death_of_the_network_is_told_to_all(door: Doorway, way: tuple[str, ...]) -> None:
    def die(_: Any) -> Any:
        raise SystemExit

    world = door.world
    world.puppet.behave = die
    line = await door.connect()
    line.send(message(picture(), *way))
    answer = await line.answer()
    assert is_on(door, way)
    assert (answer.status, answer.document["code"]) == (503, "not_ready")
    assert outcomes(world) == {"not_ready": 1}
    assert leases(world) == 0


async def test_draining_service_refuses(door: Doorway) -> None:
    door.world.lifecycle.refuse()
    line = await door.connect()
    line.send(message(picture()))
    assert (await line.answer()).document["code"] == "draining"
    assert outcomes(door.world) == {}


# ---- who takes it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(message(picture(), ELSEWHERE), id="page of another origin"),
        pytest.param(message(picture(), "Expect: something"), id="expectation"),
        pytest.param(message(picture(), "Connection: close"), id="last one"),
        pytest.param(message(picture(), version="HTTP/1.0"), id="HTTP 1.0"),
        pytest.param(
            message(b"%x\r\n%b\r\n0\r\n\r\n" % (len(picture()), picture()),
                    "Transfer-Encoding: chunked"), id="chunked"),
        pytest.param(message(picture() + bytes(QUICK_UPLOAD_BYTES)), id="long"),
        pytest.param(message(picture()).replace(b"classify", b"%63lassify"), id="escaped path"),
        pytest.param(
            message(picture()).replace(b"POST /", b"POST http://test/"), id="absolute address"),
    ],
)  # fmt: skip
async def test_others_go_the_way_of_every_request(door: Doorway, request_bytes: bytes) -> None:
    line = await door.connect()
    line.send(request_bytes)
    assert (await line.answer()).status == 200
    assert door.begun == [ROUTE]
    assert outcomes(door.world) == {"ok": 1}


async def test_client_that_asks_first_is_told_to_go_on(door: Doorway) -> None:
    line = await door.connect()
    whole = message(picture(), "Expect: 100-continue")
    line.send(whole[: -len(picture())])
    async with asyncio.timeout(5):
        assert await line.next_line() == b"HTTP/1.1 100 Continue\r\n"
        assert await line.next_line() == b"\r\n"
    line.send(picture())
    assert (await line.answer()).status == 200
    assert door.begun == [ROUTE]


async def test_address_that_is_too_long_is_refused(door: Doorway) -> None:
    line = await door.connect()
    line.send(message(picture(), query="model=" + "a" * 70_000)[: -len(picture())])
    assert (await line.answer()).status == 400
    assert await line.is_over()


@pytest.mark.parametrize("settings", [{"coalesce": True}, {"cache_bytes": 1_000_000}])
async def test_reused_results_are_left_to_the_route(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with serving(tmp_path, **settings) as world, doorway(world) as door:
        line = await door.connect()
        line.send(message(picture()))
        assert (await line.answer()).header("x-cache") == "miss"
        assert door.begun == [ROUTE]


async def test_canary_is_left_to_the_route(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world, doorway(world) as door:
        line = await door.connect()
        line.send(message(picture()))
        assert (await line.answer()).document["version"] == 2
        line.send(message(picture(), query="version=1"))
        assert (await line.answer()).document["version"] == 1
        assert door.begun == [ROUTE], "the first one"


async def test_shadow_sees_what_is_answered(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path) as world, doorway(world) as door:
        line = await door.connect()
        line.send(message(picture()))
        assert (await line.answer()).document["version"] == 2
        await until(lambda: shadow_images(world, "agreed") + shadow_images(world, "differed") == 1)
        assert door.begun == []


async def test_pages_of_other_origins_are_allowed_what_they_are_allowed(tmp_path: Path) -> None:
    settings = {"cors_origins": ["https://a.org"]}
    async with serving(tmp_path, **settings) as world, doorway(world) as door:
        line = await door.connect()
        line.send(message(picture()))
        own = await line.answer()
        by_client = await world.classify()
        assert set(own.names) - {"date", "server"} == set(by_client.headers)
        assert own.header("vary") == by_client.headers["vary"] == "Origin"
        line.send(message(picture(), ELSEWHERE))
        other = await line.answer()
        assert other.header("access-control-allow-origin") == "https://a.org"
        assert door.begun == [ROUTE, ROUTE], "the layer for it adds to all answers"


# ---- how it comes -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 64], ids=["byte by byte", "in pieces", "in large pieces"])
async def test_it_may_come_piece_by_piece(door: Doorway, size: int) -> None:
    line = await door.connect()
    whole = message(picture())
    for start in range(0, len(whole), size):
        await line.send_and_seen(whole[start : start + size])
    assert (await line.answer()).status == 200
    assert door.begun == []


async def test_body_that_does_not_come_soon_goes_the_way_of_every_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as world, doorway(world, hold_s=0) as door:
        line = await door.connect()
        whole = message(picture())
        line.send(whole[:-10])
        await until(lambda: door.begun == [ROUTE])
        line.send(whole[-10:])
        assert (await line.answer()).status == 200
        assert outcomes(world) == {"ok": 1}
        assert codes(world) == {"200": 1}
        line.send(whole)
        assert (await line.answer()).status == 200
        assert door.begun == [ROUTE], "the next one has come whole"


async def test_body_that_never_comes_ends_at_the_deadline_of_its_head(tmp_path: Path) -> None:
    async with serving(tmp_path) as world, doorway(world, hold_s=0) as door:
        line = await door.connect()
        line.send(message(picture(), query="timeout_ms=1")[:-1])
        answer = await line.answer()
        assert (answer.status, answer.document["code"]) == (504, "deadline_exceeded")
        assert answer.document["detail"] == "The deadline passed before the body had arrived."


async def test_several_in_one_piece_are_answered_in_order(door: Doorway) -> None:
    line = await door.connect()
    line.send(
        message(picture(1)) + message(picture(2), query="model=none") + message(picture(3))
        + b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"
    )  # fmt: skip
    answers = [await line.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 404, 200, 200]
    assert door.begun == [ROUTE, ROUTE, "/livez"], "the first one is express"


async def test_express_request_behind_another_one_waits_for_its_turn(door: Doorway) -> None:
    world = door.world
    world.puppet.hold()
    line = await door.connect()
    await door.send_queued(line, message(picture(1), ELSEWHERE))
    line.send(message(picture(2)))
    await line.seen()
    world.puppet.let_go()
    assert [(await line.answer()).status for _ in range(2)] == [200, 200]
    assert outcomes(world) == {"ok": 2}


async def test_connection_takes_many_one_after_the_other(door: Doorway) -> None:
    line = await door.connect()
    for seed in range(20):
        headers = (ELSEWHERE,) if seed % 3 == 0 else ()
        line.send(message(picture(seed), *headers))
        answer = await line.answer()
        assert (answer.status, "connection" in answer.names) == (200, False)
    assert len(door.begun) == 7


async def test_idle_connection_ends_after_its_time(tmp_path: Path) -> None:
    async with serving(tmp_path) as world, doorway(world, timeout_keep_alive=0) as door:
        line = await door.connect()
        line.send(message(picture()))
        assert (await line.answer()).status == 200
        assert await line.is_over()
        assert door.begun == []


async def test_connection_is_not_idle_while_its_request_is_under_way(tmp_path: Path) -> None:
    async with serving(tmp_path) as world, doorway(world, timeout_keep_alive=0) as door:
        world.puppet.hold()
        line = await door.connect()
        await door.send_queued(line, message(picture()))
        await asyncio.sleep(0)  # a timer of 0 s would have fired
        await asyncio.sleep(0)
        world.puppet.let_go()
        assert (await line.answer()).status == 200


async def test_client_that_does_not_read_is_not_written_to_without_bound(door: Doorway) -> None:
    line = await door.connect(receives_bytes=1)  # as little as the system allows
    protocol = line.far_end.protocol
    protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    protocol.transport.set_write_buffer_limits(high=0)
    line.stop_reading()
    sent = 0
    while not protocol.flow.write_paused:
        line.send(message(picture()))
        sent += 1
        await until(lambda count=sent: door.state.total_requests == count)  # type: ignore[misc]
    assert door.begun == []
    line.send(message(picture()) + message(picture()))
    await until(lambda: len(door.begun) == 1)
    line.go_on_reading()
    for _ in range(sent + 2):
        assert (await line.answer()).status == 200
    assert outcomes(door.world) == {"ok": sent + 2}


# ---- who leaves ---------------------------------------------------------------------------------


async def test_client_that_leaves_in_the_head_was_never_there(door: Doorway) -> None:
    line = await door.connect()
    await line.send_and_seen(message(picture())[:40])
    line.leave()
    await door.is_left()
    assert (codes(door.world), outcomes(door.world)) == ({}, {})


async def test_client_that_leaves_in_the_body_is_counted_as_by_the_route(door: Doorway) -> None:
    line = await door.connect()
    await line.send_and_seen(message(picture())[:-1])
    assert (door.begun, codes(door.world)) == ([], {})
    line.leave()
    await door.is_left()
    assert codes(door.world) == {"499": 1}
    assert_over(door.world)


@pytest.mark.parametrize("how", ["leave", "finish_sending"])
async def test_waiting_image_of_a_client_that_leaves_is_never_executed(
    door: Doorway, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request")
    world = door.world
    before = len(world.puppet.executed)
    staying = await world.occupy()
    line = await door.connect()
    await door.send_queued(line, message(picture()))
    assert (world.batcher.queue_size, leases(world)) == (1, 3)
    getattr(line, how)()
    await door.is_left()
    assert (world.batcher.queue_size, leases(world)) == (0, 2)
    assert codes(world) == {"499": 1}
    assert outcomes(world) == {"cancelled": 1}
    (record,) = [vars(each) for each in caplog.records if each.name == "app.request"]
    assert (record["status"], record["request_id"], record["version"]) == (499, "mine", 1)
    assert "error" not in record
    world.puppet.let_go()
    assert [(await task).status_code for task in staying] == [200, 200]
    assert len(world.puppet.executed) == before + 2
    assert_over(world)


async def test_client_that_leaves_while_the_network_works_is_not_noticed_by_others(
    door: Doorway,
) -> None:
    world = door.world
    world.puppet.hold()
    before = len(world.puppet.executed)
    line, other = await door.connect(), await door.connect()
    await door.send_queued(line, message(picture(1)))
    await world.puppet.began(before + 1)
    await door.send_queued(other, message(picture(2)))
    line.leave()
    await until(lambda: len(door.state.connections) == 1)
    assert codes(world) == {"499": 1}
    world.puppet.let_go()
    assert (await other.answer()).status == 200
    assert outcomes(world) == {"cancelled": 1, "ok": 1}
    assert_over(world)


async def test_connection_that_breaks_behind_it_ends_it_with_all_others(door: Doorway) -> None:
    world = door.world
    staying = await world.occupy()
    line = await door.connect()
    line.send(message(picture()) + message(picture()) + b"no request\r\n\r\n")
    await door.is_left()
    assert codes(world) == {"499": 1}
    assert world.batcher.queue_size == 0
    assert outcomes(world) == {"cancelled": 1}
    world.puppet.let_go()
    for task in staying:
        await task
    assert_over(world)


async def test_client_that_leaves_with_its_answer_was_answered(door: Doorway) -> None:
    line = await door.connect()
    line.send(message(picture()))
    assert (await line.answer()).status == 200
    line.leave()
    await door.is_left()
    assert codes(door.world) == {"200": 1}
    assert outcomes(door.world) == {"ok": 1}


class Closing(logging.Handler):
    """Closes a connection at the moment in which the log is told of its request."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.far_end.protocol.transport.close()


async def test_answer_to_a_connection_that_is_closing_is_not_written(
    door: Doorway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request")
    line = await door.connect()
    closing = Closing(line)
    logging.getLogger("app.request").addHandler(closing)
    try:
        line.send(message(picture()))
        assert await line.is_over()
    finally:
        logging.getLogger("app.request").removeHandler(closing)
    await door.is_left()
    assert codes(door.world) == {"200": 1}
    assert_over(door.world)


# ---- who stops ----------------------------------------------------------------------------------


async def test_stopping_server_finishes_what_waits_and_closes(door: Doorway) -> None:
    world = door.world
    world.puppet.hold()
    line, idle = await door.connect(), await door.connect()
    await door.send_queued(line, message(picture()))
    door.stop()
    assert await idle.is_over()
    world.puppet.let_go()
    answer = await line.answer()
    assert (answer.status, answer.header("connection")) == (200, "close")
    assert answer.names[-1] == "connection"
    assert await line.is_over()
    assert codes(world) == {"200": 1}


async def test_stopping_server_begins_nothing_behind_the_last_answer(door: Doorway) -> None:
    """Its answer could not be written any more."""
    world = door.world
    world.puppet.hold()
    line = await door.connect()
    await door.send_queued(line, message(picture()))
    door.stop()
    line.send(message(picture()))
    await line.seen()
    world.puppet.let_go()
    assert (await line.answer()).header("connection") == "close"
    assert await line.is_over()
    await door.is_left()
    assert door.begun == []
    assert codes(world) == {"200": 1}


async def test_stopping_server_takes_the_body_that_it_holds(door: Doorway) -> None:
    line = await door.connect()
    whole = message(picture())
    await line.send_and_seen(whole[:-1])
    door.stop()
    line.send(whole[-1:])
    answer = await line.answer()
    assert (answer.status, answer.header("connection")) == (200, "close")
    assert door.begun == [ROUTE]
    assert await line.is_over()


async def test_what_is_not_finished_in_time_is_told_so(tmp_path: Path) -> None:
    """Uvicorn goes through the set of what is under way, which must not change meanwhile."""
    async with serving(tmp_path, **SETTINGS) as world:
        async with doorway(world, timeout_graceful_shutdown=0) as door:
            world.puppet.hold()
            lines = [await door.connect() for _ in range(3)]
            for seed, line in enumerate(lines):
                await door.send_queued(line, message(picture(seed)))
            lines[0].send(message(picture()))  # waits for the answer before it
            await lines[0].seen()
            assert len(door.state.tasks) == 3
            world.lifecycle.refuse()
            await door.server.shutdown()
            for line in (lines[0], *lines):
                answer = await line.answer()
                assert (answer.status, answer.document["code"]) == (503, "draining")
                assert int(answer.header("retry-after")) >= 1
            for line in lines:
                assert await line.is_over()
            assert codes(world) == {"503": 4}
            assert outcomes(world) == {"cancelled": 3}
            assert leases(world) == 0
        await world.lifecycle.stop()
        assert not world.lifecycle.is_drained, "three requests were cut off"


# ---- what is left -------------------------------------------------------------------------------


async def test_nothing_of_an_answered_request_is_left(door: Doorway) -> None:
    """The garbage collector counts objects: between two of its rounds, thousands would pile up."""
    world = door.world
    line = await door.connect()
    line.send(message(picture()))  # what the first one makes for all of them
    await line.answer()
    waiting = await world.occupy()
    gc.collect()
    gc.disable()
    try:
        leaving = await door.connect()
        await door.send_queued(leaving, message(picture()))
        leaving.leave()
        await until(lambda: len(door.state.connections) == 1)
        line.send(message(picture(), query="timeout_ms=1"))
        assert (await line.answer()).status == 504
        world.puppet.let_go()
        for task in waiting:
            await task
        for seed in range(3):
            line.send(message(picture(seed)))
            assert (await line.answer()).status == 200
        assert door.begun == []
        assert not [each for each in gc.get_objects() if isinstance(each, ExpressRequest)]
    finally:
        gc.enable()
