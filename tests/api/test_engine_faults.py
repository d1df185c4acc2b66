"""Engines that raise, hang, die or run out of memory, over real sockets, on both ways of a request.

Whoever was accepted is answered once; a version goes on with a new engine, or the process asks to
be restarted.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import OutOfDeviceMemoryError
from app.types import ImageArray, ScoreArray
from tests.api.doorway import Answer, Doorway, Line, doorway, message, outcomes
from tests.api.world import PATIENCE_S, picture, serving, until
from tests.factories.images import encode
from tests.fakes import scores_of

pytestmark = pytest.mark.timeout(20)

BAD = 255
"""The value of every pixel of the image that the network does not stand."""
SOON_S = 0.2
LOOKS = 5000
BAD_IMAGE = encode(Image.new("RGB", (4, 4), (BAD, BAD, BAD)), "PNG")


class Network:
    """Does with the bad image what the test says; hangs until ``back`` is set."""

    def __init__(self) -> None:
        self.fault: Callable[[], None] = self.fail
        self.back = threading.Event()
        self.most = 64
        self.distort: Callable[[ScoreArray, ImageArray], ScoreArray] = lambda scores, images: scores

    def __call__(self, images: ImageArray, classes: int) -> ScoreArray:
        if len(images) > self.most:
            raise OutOfDeviceMemoryError(f"{len(images)} images")
        if (images[:, :, :, 0] == BAD).all(axis=(1, 2)).any():
            self.fault()
        return self.distort(scores_of(images, classes), images)

    def fail(self) -> None:
        raise ValueError("an image that the network does not stand")

    def hang(self) -> None:
        self.back.wait(PATIENCE_S)

    def die(self) -> None:
        raise SystemExit(3)

    def pass_over(self) -> None:
        """Do nothing."""


class Service:
    """The service behind sockets, and what is asked of it."""

    def __init__(self, door: Doorway, network: Network, way: tuple[str, ...]) -> None:
        self.door = door
        self.world = door.world
        self.network = network
        self._way = way
        self._batcher = door.world.batcher

    async def send(self, content: bytes, query: str = "") -> Line:
        """Send an image on a connection of its own, and wait until it is queued or refused."""
        line = await self.door.connect()
        line.send(message(content, *self._way, query=query))
        return line

    async def ask(self, content: bytes = b"", query: str = "") -> Answer:
        return await (await self.send(content or picture(), query)).answer()

    async def ask_many(self, contents: list[bytes]) -> list[Answer]:
        """Have images wait while the device works, so that they make one batch."""
        puppet = self.world.puppets["cifar10:1"]
        before = len(puppet.executed)
        puppet.hold()
        first = await self.send(picture(999))
        await puppet.began(before + 1)
        lines = []
        for content in contents:
            lines.append(await self.send(content))
            await until(lambda: self.world.batcher.queue_size == len(lines))
        puppet.let_go()
        assert (await first.answer()).status == 200
        return list(await asyncio.gather(*(line.answer() for line in lines)))

    async def health(self, path: str) -> Answer:
        line = await self.door.connect()
        line.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        return await line.answer()

    @property
    def is_ready(self) -> bool:
        return self.world.lifecycle.unready_reasons() == []

    async def is_back(self) -> None:
        """Wait until it is ready, and leave the interpreter to the thread that loads meanwhile."""
        for _ in range(LOOKS):
            if self.is_ready:
                return
            await asyncio.sleep(PATIENCE_S / LOOKS)
        pytest.fail(f"not ready: {self.world.lifecycle.unready_reasons()}")

    @property
    def restarts(self) -> float:
        return self.world.count("engine_restarts_total", model="cifar10", version="1")

    async def is_restarted(self, count: int) -> None:
        await until(lambda: self.world.batcher is not self._batcher and self.is_ready)
        self._batcher = self.world.batcher
        assert self.restarts == count


@asynccontextmanager
async def service(store: Path, way: tuple[str, ...], **settings: Any) -> AsyncIterator[Service]:
    network = Network()
    settings = {"max_batch_size": 8, "stall_after_s": SOON_S, "behave": network} | settings
    async with serving(store, **settings) as world, doorway(world) as door:
        try:
            yield Service(door, network, way)
        finally:
            network.back.set()


async def test_image_that_breaks_its_batch_fails_alone_after_a_short_search(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with service(tmp_path, way) as found:
        puppet = found.world.puppets["cifar10:1"]
        before = len(puppet.executed)
        images = [picture(seed) for seed in range(7)]
        answers = await found.ask_many([*images[:5], BAD_IMAGE, *images[5:]])
        assert [answer.status for answer in answers] == [200] * 5 + [500] + [200] * 2
        assert answers[5].document["code"] == "execution_failed"
        assert len(puppet.executed) - before - 1 <= 1 + 4, "the batch, and log2(8) + 1 more"
        assert outcomes(found.world) == {"ok": 8, "execution_failed": 1}
        assert found.is_ready


@pytest.mark.parametrize(
    "distort",
    [
        pytest.param(lambda scores: scores * np.float32(np.nan), id="NaN"),
        pytest.param(lambda scores: scores[:-1], id="a row too few"),
        pytest.param(lambda scores: np.vstack([scores, scores[:1]]), id="a row too many"),
    ],
)
async def test_answer_that_is_none_reaches_nobody_and_others_have_theirs(
    tmp_path: Path, way: tuple[str, ...], distort: Callable[[ScoreArray], ScoreArray]
) -> None:
    async with service(tmp_path, way) as found:
        network = found.network
        network.fault = network.pass_over

        def spoil(scores: ScoreArray, images: ImageArray) -> ScoreArray:
            is_bad = (images[:, :, :, 0] == BAD).all(axis=(1, 2))
            if not is_bad.any():
                return scores
            spoilt = distort(scores)
            return (
                np.where(is_bad[:, None], spoilt, scores) if len(spoilt) == len(scores) else spoilt
            )

        network.distort = spoil
        answers = await found.ask_many([picture(1), BAD_IMAGE, picture(2), picture(3)])
        assert [answer.status for answer in answers] == [200, 500, 200, 200]
        assert answers[1].document["code"] == "execution_failed"
        assert found.is_ready


async def test_device_without_memory_gets_half_as_much_and_everybody_is_answered(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with service(tmp_path, way) as found:
        found.network.most = 2
        answers = await found.ask_many([picture(seed) for seed in range(8)])
        assert [answer.status for answer in answers] == [200] * 8
        assert found.world.batcher.policy.max_batch_size == 2
        assert found.is_ready


async def test_engine_that_hangs_is_restarted_and_who_waited_is_told_at_the_deadline(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with service(tmp_path, way) as found:
        found.network.fault = found.network.hang
        stuck = await found.send(BAD_IMAGE, "timeout_ms=600")
        await until(lambda: not found.world.batcher.is_idle)
        waiting = await found.send(picture(), "timeout_ms=600")
        await until(lambda: not found.is_ready)
        assert "has been running" in found.world.lifecycle.unready_reasons()[0]
        assert (await found.health("/livez")).status == 200, "it is about to mend itself"
        await found.is_restarted(1)
        assert (await found.ask()).status == 200
        answers = [await stuck.answer(), await waiting.answer()]
        assert [answer.status for answer in answers] == [504, 504]
        assert outcomes(found.world) == {"ok": 1, "deadline": 2}


async def test_engine_that_dies_is_restarted_and_who_waited_is_told_at_once(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with service(tmp_path, way) as found:
        found.network.fault = found.network.die
        answers = await found.ask_many([picture(1), BAD_IMAGE, picture(2)])
        assert [answer.status for answer in answers] == [503] * 3
        assert {answer.document["code"] for answer in answers} == {"not_ready"}
        await found.is_restarted(1)
        assert (await found.ask()).status == 200
        assert outcomes(found.world) == {"ok": 2, "not_ready": 3}


async def test_engine_that_fails_on_everything_is_restarted(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with service(tmp_path, way) as found:
        assert (await found.ask()).status == 200
        broken = found.world.puppets["cifar10:1"]

        def lose_the_device(images: ImageArray) -> ScoreArray:
            raise RuntimeError("lost the device")

        broken.behave = lose_the_device
        assert (await found.ask()).status == 500
        await found.is_restarted(1)
        assert found.world.puppets["cifar10:1"] is not broken
        assert (await found.ask()).status == 200
        await until(lambda: broken.is_closed)


async def test_liveness_fails_once_restarts_have_not_helped(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with service(tmp_path, way, engine_restarts=2) as found:
        found.network.fault = found.network.die
        for restarts in (1, 2):
            assert (await found.ask(BAD_IMAGE)).status == 503
            await found.is_restarted(restarts)
        assert (await found.ask(BAD_IMAGE)).status == 503
        await until(lambda: found.world.lifecycle.dead_reasons() != [])
        for path in ("/livez", "/v2/health/live", "/readyz"):
            assert (await found.health(path)).status == 503
        [reason] = (await found.health("/livez")).document["reasons"]
        assert reason.startswith("cifar10:1: ")
        assert "restarts of its engine have not helped" in reason
        assert (await found.ask()).status == 503, "refused at once"
        found.world.lifecycle.begin_drain()
        assert (await found.health("/livez")).status == 200, "it ends by itself"


async def test_liveness_fails_where_the_restart_hangs(tmp_path: Path, way: tuple[str, ...]) -> None:
    async with service(tmp_path, way, stall_after_s=0.02) as found:
        before = found.world.puppets["cifar10:1"]
        original = found.network.distort

        def hang_in_the_self_test(scores: ScoreArray, images: ImageArray) -> ScoreArray:
            if not found.network.back.wait(PATIENCE_S):
                raise TimeoutError
            return original(scores, images)

        found.network.fault = found.network.die
        found.network.distort = hang_in_the_self_test
        assert (await found.ask(BAD_IMAGE)).status == 503
        await until(lambda: found.world.lifecycle.dead_reasons() != [])
        found.network.back.set()
        await found.is_restarted(1)
        assert found.world.puppets["cifar10:1"] is not before
        assert found.world.lifecycle.dead_reasons() == []
        assert (await found.ask()).status == 200


async def test_engines_die_again_and_again_under_load_and_everybody_is_answered_once(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    # Deaths alone: a machine with other work holds a thread up for as long as SOON_S.
    settings = {"engine_restarts": 1000, "stall_after_s": PATIENCE_S}
    async with service(tmp_path, way, **settings) as found:
        found.network.fault = found.network.die
        asked: Counter[int] = Counter()

        async def client(number: int) -> None:
            line = await found.door.connect()
            for turn in range(20):
                is_bad = number == 0 and turn % 5 == 0
                line.send(message(BAD_IMAGE if is_bad else picture(turn), *way))
                answer = await line.answer()
                asked[answer.status] += 1
                if answer.status == 503:
                    await found.is_back()

        await asyncio.gather(*(client(number) for number in range(8)))
        assert asked.total() == 160
        assert set(asked) == {200, 503}
        assert asked[200] > asked[503]
        assert found.world.count("in_flight_requests") == 0
        assert sum(outcomes(found.world).values()) == 160
        assert found.restarts == 4
