"""Uploads that would be refused are refused before their body is read."""

from __future__ import annotations

import asyncio
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.batching.execution_time import ENOUGH_EXECUTIONS
from app.errors import QueueFullError
from app.inference.records import ClassifyOptions
from tests.api.call import Call
from tests.api.live_server import LiveServer, listening
from tests.api.test_canary import canary_of, serving_canary
from tests.api.world import PATIENCE_S, World, add_version, assert_problem, picture, serving, until

pytestmark = pytest.mark.timeout(60)

LIMITS: dict[str, Any] = {"max_batch_size": 1, "max_queue_size": 1, "max_images_per_request": 1}
LABELS = {"model": "cifar10", "version": "1"}
PATHS = ["/v1/classify", "/v1/classify/batch"]
FORM = {"content-type": "multipart/form-data; boundary=b"}
SLOW_MS = 40.0


async def fill(world: World, version: int = 1) -> list[asyncio.Task[httpx.Response]]:
    """Occupy a version: one image is executed, one lies ready, one has the place of the queue."""
    puppet, decoded = world.puppets[f"cifar10:{version}"], world.decoded
    puppet.hold()
    before = len(puppet.executed)
    accepted = [world.begin(version=version)]
    await puppet.began(before + 1)
    for count in (2, 3):
        accepted.append(world.begin(version=version))
        await until(lambda count=count: world.decoded == decoded + count)  # type: ignore[misc]
    return accepted


async def make_slow(world: World, version: int = 1) -> None:
    """Show the batcher of a version executions that take ``SLOW_MS`` at least; it stays held."""
    puppet = world.puppets[f"cifar10:{version}"]
    puppet.hold()
    for _ in range(ENOUGH_EXECUTIONS):
        before = len(puppet.executed)
        executed = world.begin(version=version)
        await puppet.began(before + 1)
        # Waits for its whole deadline: so long the execution takes at least.
        late = await world.classify(timeout_ms=SLOW_MS, version=version)
        assert_problem(late, 504, "deadline_exceeded")
        puppet.release()
        assert (await executed).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_full_queue_refuses_before_the_body_is_read(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path, **LIMITS) as world:
        accepted = await fill(world)
        call = Call(world.app, path, headers=FORM)
        call.feed(b"--b\r\n", has_more=True)
        await call.end()
        assert (call.status, call.document["code"]) == (429, "queue_full")
        assert call.unread == 1
        assert int(call.headers["retry-after"]) >= 1
        assert world.count("images_total", **LABELS, outcome="queue_full") == 1
        assert world.count("requests_total", route=path, method="POST", code="429") == 1
        world.puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200] * 3


@pytest.mark.parametrize("path", PATHS)
async def test_deadline_that_cannot_be_met_refuses_before_the_body_is_read(
    world: World, path: str
) -> None:
    await make_slow(world)
    before = len(world.puppet.executed)
    accepted = world.begin()
    await world.puppet.began(before + 1)
    call = Call(world.app, path, query=f"timeout_ms={SLOW_MS}", headers=FORM)
    call.feed(b"--b\r\n", has_more=True)
    await call.end()
    assert (call.status, call.document["code"]) == (429, "queue_full")
    assert "timeout_ms" in call.document["detail"]
    assert call.unread == 1
    patient = world.begin()
    world.puppet.let_go()
    assert (await accepted).status_code == (await patient).status_code == 200


async def test_known_image_is_answered_where_new_ones_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, **LIMITS, cache_bytes=100_000) as world:
        assert (await world.classify(picture(1))).status_code == 200
        world.puppet.hold()
        began, accepted = len(world.puppet.executed), [world.begin(picture(2))]
        await world.puppet.began(began + 1)
        for seed in (3, 4):
            decoded = world.decoded
            accepted.append(world.begin(picture(seed)))
            await until(lambda decoded=decoded: world.decoded == decoded + 1)  # type: ignore[misc]
        assert_problem(await world.classify(picture(5)), 429, "queue_full")
        assert (await world.classify(picture(1))).status_code == 200
        world.puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200] * 3


async def test_refusal_is_gone_with_whoever_catches_it(tmp_path: Path) -> None:
    """In a cycle it would wait, with all frames of its request, for a collection of garbage."""
    async with serving(tmp_path, **LIMITS) as world:
        accepted = await fill(world)
        director = world.lifecycle.director
        choice = director.choose(None, None, None, key="")
        options = ClassifyOptions(1, asyncio.get_running_loop().time() + PATIENCE_S)
        try:
            director.refuse_early(choice, options, 0, is_one=True)
        except QueueFullError as error:
            refusal = weakref.ref(error)
        assert refusal() is None
        world.puppet.let_go()
        for task in accepted:
            await task


async def test_estimate_is_among_the_metrics_and_leaves_with_its_version(tmp_path: Path) -> None:
    async with serving(tmp_path) as world:
        assert world.count("admission_estimate_seconds", **LABELS) == 0
        await make_slow(world)
        assert "keraserve_admission_estimate_seconds{" in (await world.client.get("/metrics")).text
        assert world.count("admission_estimate_seconds", **LABELS) > SLOW_MS / 1000
    name = "keraserve_admission_estimate_seconds"
    assert world.lifecycle.metrics.registry.get_sample_value(name, LABELS) is None


# ---- canaries -----------------------------------------------------------------------------------


async def test_full_canary_is_answered_for_by_the_stable_version(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}, **LIMITS) as world:
        accepted = await fill(world, version=2)
        response = await world.classify()
        assert (response.status_code, response.json()["version"]) == (200, 1)
        world.puppets["cifar10:2"].let_go()
        assert {(await task).json()["version"] for task in accepted} == {2}


async def test_where_the_stable_version_is_full_as_well_the_body_is_not_read(
    tmp_path: Path,
) -> None:
    async with serving_canary(tmp_path, {"share": 1}, **LIMITS) as world:
        accepted = await fill(world, version=2)
        accepted += await fill(world, version=1)
        counted = (await canary_of(world))["requests"]
        call = Call(world.app)
        await call.end()
        assert (call.status, call.document["code"]) == (429, "queue_full")
        assert world.count("images_total", **LABELS, outcome="queue_full") == 1
        assert (await canary_of(world))["requests"] == counted + 1
        for puppet in world.puppets.values():
            puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200] * 6


async def test_deadlines_of_callers_that_cannot_be_met_end_no_canary(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world:
        accepted = []
        for version in (1, 2):
            await make_slow(world, version)
            puppet = world.puppets[f"cifar10:{version}"]
            before = len(puppet.executed)
            accepted.append(world.begin(version=version))
            await puppet.began(before + 1)
        response = await world.classify(timeout_ms=SLOW_MS)
        assert_problem(response, 429, "queue_full", "timeout_ms")
        assert (await canary_of(world))["requests"] == 0
        for puppet in world.puppets.values():
            puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200, 200]


# ---- real sockets -------------------------------------------------------------------------------


@contextmanager
def full_server(store: Path) -> Iterator[LiveServer]:
    """A server that refuses whatever comes, until its puppet is let go."""
    add_version(store)
    with listening(store, **LIMITS) as server:
        puppet = server.puppets["cifar10:1"]
        began = len(puppet.executed)
        puppet.hold()
        waiting = []
        for count in range(3):
            waiting.append(server.connect())
            post(waiting[-1], picture(count))
            if count == 0:
                puppet.wait_began(began + 1)
            else:
                wait_decoded(server, count + 1)
        yield server
        for connection in waiting:
            puppet.let_go()
            assert connection.getresponse().status == 200
            connection.close()


def post(connection: HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/v1/classify", body, {"Content-Type": "image/png"})


def wait_decoded(server: LiveServer, images: int) -> None:
    """Wait until so many images have been decoded, and with that been queued."""
    end_s = time.monotonic() + PATIENCE_S
    connection = server.connect()
    registry = server.lifecycle.metrics.registry
    name = "keraserve_decode_duration_seconds_count"
    while registry.get_sample_value(name, {"format": "PNG"}) != images:
        connection.request("GET", "/livez")  # a turn of its event loop
        connection.getresponse().read()
        assert time.monotonic() < end_s
    connection.close()


def test_client_that_asks_before_it_sends_need_not_send(tmp_path: Path) -> None:
    with (
        full_server(tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection,
    ):
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
            b"Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(12) == b"HTTP/1.1 429"


def test_refusal_comes_while_the_body_is_still_sent(tmp_path: Path) -> None:
    with (
        full_server(tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection,
    ):
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
            b"Content-Length: 9999999\r\n\r\n" + bytes(100_000)
        )
        with connection.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 429 Too Many Requests\r\n"
            head = b"".join(iter(answer.readline, b"\r\n")).lower()
        assert b"connection: close" in head


def test_client_that_sends_everything_first_still_reads_its_refusal(tmp_path: Path) -> None:
    with full_server(tmp_path) as server:
        connection = server.connect()
        post(connection, bytes(16 * 1024 * 1024))
        assert connection.getresponse().status == 429
        connection.close()


@pytest.mark.parametrize("size", [100, 900_000], ids=["in one piece", "in many"])
def test_refusal_of_a_small_body_keeps_the_connection(tmp_path: Path, size: int) -> None:
    with full_server(tmp_path) as server:
        connection = server.connect()
        for _ in range(3):
            post(connection, bytes(size))
            response = connection.getresponse()
            assert response.status == 429
            assert "connection" not in response.headers
            response.read()
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
        connection.close()
