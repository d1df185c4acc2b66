"""What is answered without a task is answered as by the route."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.access.caller import Scope as KeyScope
from app.access.keys_file import create_key
from app.inference.service import QUICK_UPLOAD_BYTES
from tests.api.doorway import (
    BY_CONNECTION,
    ELSEWHERE,
    ROUTE,
    SETTINGS,
    Doorway,
    assert_over,
    codes,
    doorway,
    leases,
    message,
    outcomes,
)
from tests.api.test_canary import serving_canary
from tests.api.test_shadow import images as shadow_images
from tests.api.test_shadow import serving_shadow
from tests.api.world import picture, serving, until
from tests.factories.images import encode, noise_image
from tests.fakes import scores_of

pytestmark = pytest.mark.timeout(20)

ONE = {"model": "cifar10", "version": "1"}


def is_on(door: Doorway, way: tuple[str, ...]) -> bool:
    return bool(door.begun) == bool(way)


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


async def test_keys_are_asked_for_and_named_in_the_log(
    tmp_path: Path, way: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request")
    (store := tmp_path / "store").mkdir()
    keys = tmp_path / "keys.json"
    key = create_key(keys, "camera", frozenset({KeyScope.INFER}))
    async with serving(store, api_keys_file=keys) as world, doorway(world) as door:
        line = await door.connect()
        line.send(message(picture(), *way))
        assert (await line.answer()).document["code"] == "unauthenticated"
        door.begun.clear()
        line.send(message(picture(), *way, f"Authorization: Bearer {key}"))
        assert (await line.answer()).status == 200
        assert is_on(door, way)
        await until(lambda: not door.state.tasks)
        assert codes(world) == {"401": 1, "200": 1}
        assert outcomes(world) == {"ok": 1}
        record = [vars(each) for each in caplog.records if each.name == "app.request"][-1]
        assert (record["status"], record["by"]) == (200, "camera")


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
        assert set(own.names) - BY_CONNECTION == set(by_client.headers)
        assert own.header("vary") == by_client.headers["vary"] == "Origin"
        line.send(message(picture(), ELSEWHERE))
        other = await line.answer()
        assert other.header("access-control-allow-origin") == "https://a.org"
        assert door.begun == [ROUTE, ROUTE], "the layer for it adds to all answers"
