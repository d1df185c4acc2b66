"""Clients that take their time, over real sockets: each part of a request has its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from app.patience import PatiencePolicy
from tests.api.doorway import LONG_S, Doorway, Line, assert_over, codes, doorway, message
from tests.api.world import picture, serving, until

pytestmark = pytest.mark.timeout(20)

SOON_S = 0.05


@pytest.fixture(scope="module", params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """On both loops: what a loop does with a connection that is cut is its own affair."""
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def patient(store: Path, patience: PatiencePolicy, **settings: Any) -> AsyncIterator[Doorway]:
    async with (
        serving(store, **settings) as world,
        doorway(world, patience=patience, hold_s=0.001) as door,
    ):
        yield door


def only(**changes: float) -> PatiencePolicy:
    """Have all the patience in the world, but for what is given."""
    return PatiencePolicy(**{"header_s": LONG_S, "body_s": LONG_S, "write_s": LONG_S} | changes)


async def test_connection_that_never_says_anything_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.api.slow_clients")
    async with patient(tmp_path, only(header_s=SOON_S)) as door:
        line = await door.connect()
        assert await line.is_over()
        told = [each for each in caplog.records if each.name == "app.api.slow_clients"]
        assert [each.message for each in told] == ["client too slow"]
        assert vars(told[0])["part"] == "head"


async def drip(line: Line) -> None:
    """Send byte after byte, each as soon as the one before was seen; for ever."""
    with suppress(TimeoutError):
        while True:
            await line.send_and_seen(b"a")


async def longer_than(patience: str, door: Doorway) -> None:
    """Wait for as long as a client may take that says nothing, or not all of its body."""
    other = await door.connect()
    if patience == "body":
        other.send(message(picture())[:-1])
    assert await other.is_over()


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
async def test_head_that_comes_byte_by_byte_is_not_waited_for(
    tmp_path: Path, is_first: bool
) -> None:
    async with patient(tmp_path, only(header_s=SOON_S)) as door:
        line = await door.connect()
        if not is_first:
            line.send(message(picture()))
            assert (await line.answer()).status == 200
        line.send(b"GET / HTTP/1.1\r\nX-Long: ")
        dripping = asyncio.create_task(drip(line))
        assert await line.is_over()
        dripping.cancel()
        await until(lambda: not door.state.connections)
        assert_over(door.world)


async def test_body_that_comes_byte_by_byte_is_not_waited_for(tmp_path: Path) -> None:
    async with patient(tmp_path, only(body_s=SOON_S)) as door:
        line = await door.connect()
        line.send(message(bytes(1_000_000))[:-1_000_000])
        dripping = asyncio.create_task(drip(line))
        assert await line.is_over()
        dripping.cancel()
        await until(lambda: codes(door.world) == {"499": 1})
        assert_over(door.world)


@pytest.mark.parametrize("patience", ["head", "body"])
async def test_time_of_a_part_ends_with_it(tmp_path: Path, patience: str) -> None:
    limit = {"header_s" if patience == "head" else "body_s": SOON_S}
    async with patient(tmp_path, only(**limit)) as door:
        line = await door.connect()
        for _ in range(2):
            content = message(picture())
            cut = 20 if patience == "head" else len(content) - 20
            await line.send_and_seen(content[:cut])
            if patience == "head":  # the rest of it, and a body that takes its time
                await line.send_and_seen(content[cut:-1])
                await longer_than(patience, door)
                line.send(content[-1:])
            else:
                line.send(content[cut:])
            assert (await line.answer()).status == 200
            if patience == "body":
                await longer_than(patience, door)


async def test_next_head_does_not_cost_the_answer_that_is_under_way(tmp_path: Path) -> None:
    async with patient(tmp_path, only(header_s=SOON_S)) as door:
        puppet = door.world.puppet
        puppet.hold()
        before = len(puppet.executed)
        line = await door.connect()
        line.send(message(picture()) + b"POST /v1/cla")
        await puppet.began(before + 1)
        await longer_than("head", door)
        puppet.let_go()
        assert (await line.answer()).status == 200
        assert await line.is_over()


async def test_answer_that_nobody_reads_is_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with patient(tmp_path, only(write_s=SOON_S)) as door:
        line = await door.connect(receives_bytes=4096)
        line.stop_reading()
        for _ in range(400):
            line.send(b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n")
        await until(lambda: not door.state.connections)
        await until(lambda: not door.state.tasks)
        assert door.world.count("in_flight_requests") == 0
        assert caplog.messages == [], "the client's fault, and none of the server"


async def test_bytes_that_are_no_request_behind_unread_answers_do_not_keep_the_connection(
    tmp_path: Path,
) -> None:
    async with patient(tmp_path, only(write_s=SOON_S)) as door:
        line = await door.connect(receives_bytes=4096)
        line.stop_reading()
        request = b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n"
        transport = door.far_ends[-1].transport
        while not transport.get_write_buffer_size():  # below what pauses the application
            await line.send_and_seen(request)
            await until(lambda: not door.state.tasks)
        line.send(b"no request\r\n\r\n")
        await until(lambda: not door.state.connections)


async def test_last_answer_that_nobody_reads_is_cut_off(tmp_path: Path) -> None:
    async with patient(tmp_path, only(write_s=SOON_S)) as door:
        line = await door.connect(receives_bytes=4096)
        line.stop_reading()
        request = b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n"
        line.send((request + b"\r\n") * 40 + request + b"Connection: close\r\n\r\n")
        await until(lambda: not door.state.connections)


async def test_client_that_reads_in_time_keeps_its_connection(tmp_path: Path) -> None:
    async with patient(tmp_path, only(header_s=1.0, write_s=0.8)) as door:
        line = await door.connect(receives_bytes=4096)
        line.stop_reading()
        count = 40
        request = b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n"
        line.send(request * count)
        line.go_on_reading()
        for _ in range(count):
            assert (await line.answer()).status == 200
        await longer_than("head", door)  # and so longer than it might not have read
        line.send(request)
        assert (await line.answer()).status == 200
