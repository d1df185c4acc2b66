"""One small image without a task: answered once, counted once, as ``classify`` would."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from app.drift.window import DriftWindow
from app.errors import (
    BatcherStoppedError,
    DeadlineExceededError,
    ExecutionError,
    ServableNotReadyError,
)
from app.imaging.encoder import encode_png
from app.inference.coalescing import ReusingScheduler
from app.inference.live import LiveServable
from app.inference.quick import QuickImage
from app.inference.records import Classification, ClassifyOptions
from app.types import ImageArray, ScoreArray
from tests.unit.inference.test_service import CLASSES, World, options, picture, world

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]

Outcome = Classification | Exception


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world(max_queue_size=4) as made:
        yield made


class Begun:
    """An image on its way, and all that it was told."""

    def __init__(
        self,
        w: World,
        upload: bytes | None = None,
        *,
        live: LiveServable | None = None,
        how: ClassifyOptions | None = None,
    ) -> None:
        self.told: list[Outcome] = []
        self._ended = asyncio.Event()
        upload = encode_png(picture(0)) if upload is None else upload
        image = w.service.begin(live or w.live, upload, how or options(), self._end)
        self.is_taken = image is not None
        self.image = cast(QuickImage, image)
        assert not self.told, "not in the turn in which it came"

    def _end(self, outcome: Outcome) -> None:
        self.told.append(outcome)
        self._ended.set()

    async def outcome(self) -> Outcome:
        async with asyncio.timeout(5):
            await self._ended.wait()
        (outcome,) = self.told
        return outcome


def held(w: World) -> float:
    return float(w.live.batcher.queue_size)


async def test_it_ends_as_classify_does(w: World) -> None:
    upload = encode_png(picture(3))
    found = await Begun(w, upload, how=options(2)).outcome()
    expected = await w.service.classify(w.live, upload, options(2))
    assert isinstance(found, Classification)
    assert (found.predictions, found.image) == (expected.predictions, expected.image)
    assert np.array_equal(found.pixels, expected.pixels)
    assert found.reuse is None
    assert (w.outcomes(), w.predictions()) == ({"ok": 2}, 2)


async def test_those_of_one_turn_travel_together(w: World) -> None:
    w.puppet.hold()
    first = Begun(w)
    await w.puppet.began(1)
    others = [Begun(w, encode_png(picture(n))) for n in range(1, 4)]
    w.puppet.let_go()
    for each in (first, *others):
        assert isinstance(await each.outcome(), Classification)
    assert w.puppet.batch_sizes == [1, 3]


@pytest.mark.parametrize(
    "upload", [b"", b"no image", encode_png(picture(0))[:40]], ids=["empty", "none", "cut off"]
)
async def test_what_would_be_an_error_is_left_and_not_counted(w: World, upload: bytes) -> None:
    assert not Begun(w, upload).is_taken
    assert w.outcomes() == {}
    assert w.live.batcher.is_idle


async def test_what_is_large_is_left(w: World) -> None:
    wide = np.zeros((129, 128, 3), np.uint8)
    assert not Begun(w, encode_png(wide)).is_taken
    assert not Begun(w, encode_png(picture(0)) + bytes(16 * 1024)).is_taken
    spec = replace(w.live.spec, height=129, width=128)
    assert not Begun(w, live=replace(w.live, spec=spec)).is_taken


async def test_what_may_be_reused_is_left(w: World) -> None:
    live = replace(w.live, reuse=cast(ReusingScheduler, object()))
    assert not Begun(w, live=live).is_taken


async def test_full_queue_leaves_it_and_counts_nothing(w: World) -> None:
    w.puppet.hold()
    taken = [Begun(w)]
    await w.puppet.began(1)
    taken += [Begun(w) for _ in range(3)]
    taken += [Begun(w) for _ in range(12)]
    refused = [each for each in taken if not each.is_taken]
    assert refused
    assert w.outcomes() == {}
    w.puppet.let_go()
    for each in taken:
        if each.is_taken:
            await each.outcome()
    assert w.outcomes() == {"ok": len(taken) - len(refused)}


async def test_stopped_batcher_leaves_it(w: World) -> None:
    await w.live.batcher.drain()
    assert not Begun(w).is_taken
    assert w.outcomes() == {}


async def test_deadline_ends_a_waiting_and_an_executed_image(w: World) -> None:
    w.puppet.hold()
    executed = Begun(w, how=options(within_s=0.001))
    await w.puppet.began(1)
    waiting = Begun(w, how=options(within_s=0.001))
    for each in (executed, waiting):
        assert isinstance(await each.outcome(), DeadlineExceededError)
    assert w.outcomes() == {"deadline": 2}
    assert held(w) == 0
    w.puppet.let_go()
    assert isinstance(await Begun(w).outcome(), Classification)
    assert (len(executed.told), len(waiting.told)) == (1, 1)
    assert w.puppet.batch_sizes == [1, 1], "the one that waited is not executed"


async def test_cancelled_image_is_counted_and_told_nothing(w: World) -> None:
    w.puppet.hold()
    executed = Begun(w)
    await w.puppet.began(1)
    waiting, other = Begun(w), Begun(w)
    for each in (executed, waiting):
        each.image.cancel()
        each.image.cancel()
    assert w.outcomes() == {"cancelled": 2}
    w.puppet.let_go()
    assert isinstance(await other.outcome(), Classification)
    assert executed.told == waiting.told == []
    assert w.puppet.batch_sizes == [1, 1]
    assert w.outcomes() == {"cancelled": 2, "ok": 1}


async def test_cancelling_after_the_end_is_nothing(w: World) -> None:
    begun = Begun(w)
    await begun.outcome()
    begun.image.cancel()
    assert w.outcomes() == {"ok": 1}


async def test_failures_are_told(w: World) -> None:
    def fail(_: ImageArray) -> ScoreArray:
        raise ValueError("broken")

    w.puppet.behave = fail
    assert isinstance(await Begun(w).outcome(), ExecutionError)
    assert w.outcomes() == {"execution_failed": 1}


async def test_death_of_the_batcher_is_told(w: World) -> None:
    def die(_: ImageArray) -> ScoreArray:
        raise SystemExit

    w.puppet.behave = die
    assert isinstance(await Begun(w).outcome(), ServableNotReadyError)
    assert w.outcomes() == {"not_ready": 1}


async def test_what_is_cut_off_is_told(w: World) -> None:
    w.puppet.hold()
    begun = Begun(w)
    await w.puppet.began(1)
    assert await w.live.batcher.close(timeout_s=0) == 1
    assert isinstance(await begun.outcome(), BatcherStoppedError)
    assert w.outcomes() == {"not_ready": 1}


async def test_scores_that_cannot_be_ranked_are_told(w: World) -> None:
    """A callback has no caller that would be told of what it raises."""
    w.puppet.behave = lambda images: np.eye(CLASSES + 1, dtype=np.float32)[[CLASSES] * len(images)]
    assert isinstance(await Begun(w).outcome(), IndexError)
    assert w.outcomes() == {"execution_failed": 1}


async def test_answer_that_cannot_be_counted_is_given_and_the_fault_reported(w: World) -> None:
    class Broken:
        def observe(self, *_: Any) -> None:
            raise RuntimeError("no window")

    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    live = replace(w.live, window=cast(DriftWindow, Broken()))
    assert isinstance(await Begun(w, live=live).outcome(), Classification)
    assert isinstance(await Begun(w).outcome(), Classification)
    assert [repr(context["exception"]) for context in reported] == ["RuntimeError('no window')"]
    assert w.outcomes() == {"ok": 2}, "as classify counts it"


async def test_nothing_is_left_of_it(w: World) -> None:
    gc.collect()
    gc.disable()
    try:
        for how in (options(), options(within_s=0)):
            await Begun(w, how=how).outcome()
        w.puppet.hold()
        before = len(w.puppet.executed)
        begun = Begun(w)
        await w.puppet.began(before + 1)
        begun.image.cancel()
        del begun
        w.puppet.let_go()
        assert isinstance(await Begun(w).outcome(), Classification)
        await asyncio.sleep(0)
        assert not [each for each in gc.get_objects() if isinstance(each, QuickImage)]
    finally:
        gc.enable()
