from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.errors import BatcherStoppedError, ServableNotReadyError
from app.keeping import StoreKeeper
from tests.unit.registry.fake_loader import Gate

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(10)]


class World:
    """A keeper whose looks stop at a gate, and a store that changes when told."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.gate.opened.set()
        self.looks = self.at_once = self.first_looks = 0
        self.fault: Exception | None = None
        self.is_watched = True
        self.changed: asyncio.Queue[Exception | None] = asyncio.Queue()
        self.keeper = StoreKeeper(self._look, self._changes, self._on_first_look, 0)

    async def _look(self) -> None:
        self.looks += 1
        self.at_once += 1
        assert self.at_once == 1
        try:
            await self.gate.pass_through()
            if self.fault is not None:
                raise self.fault
        finally:
            self.at_once -= 1

    def hold(self) -> Gate:
        self.gate = Gate()
        return self.gate

    async def _changes(self) -> AsyncIterator[None]:
        while self.is_watched:
            fault = await self.changed.get()
            if fault is not None:
                raise fault
            yield

    def _on_first_look(self) -> None:
        self.first_looks += 1


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_it_looks_at_the_start_and_after_every_change() -> None:
    world = World()
    world.keeper.start()
    await world.keeper.looked()
    assert (world.looks, world.first_looks) == (1, 1)
    world.changed.put_nowait(None)
    await world.keeper.looked(2)
    assert (world.looks, world.first_looks) == (2, 1)
    world.keeper.stop()


async def test_wishes_during_a_look_become_one_more_look() -> None:
    world = World()
    gate = world.hold()
    world.keeper.start()
    await gate.reached.wait()
    wishes = [asyncio.create_task(world.keeper.look()) for _ in range(5)]
    await settled()
    assert not any(wish.done() for wish in wishes), "the look in hand began before they came"
    gate.opened.set()
    await asyncio.gather(*wishes)
    assert world.looks == 2
    world.keeper.stop()


async def test_look_that_fails_is_logged_and_followed(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.fault = RuntimeError("disk on fire")
    world.keeper.start()
    await world.keeper.looked()
    with pytest.raises(ServableNotReadyError, match="the log has the cause"):
        await world.keeper.look()
    world.fault = None
    await world.keeper.look()
    assert world.looks == 3
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["looking at the store failed"] * 2
    world.keeper.stop()


async def test_where_watching_breaks_off_it_looks_and_watches_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.keeper.start()
    await world.keeper.looked()
    world.changed.put_nowait(RuntimeError("can't start new thread"))
    await world.keeper.looked(2)
    world.changed.put_nowait(None)
    await world.keeper.looked(3)
    assert [record.getMessage() for record in caplog.records] == ["watching the store broke off"]
    world.keeper.stop()


async def test_store_that_is_not_watched_is_looked_at_when_asked() -> None:
    world = World()
    world.is_watched = False
    world.keeper.start()
    await world.keeper.look()
    await world.keeper.look()
    assert world.looks == 2
    world.keeper.stop()


async def test_cancelled_wish_leaves_the_look_alone() -> None:
    world = World()
    gate = world.hold()
    world.keeper.start()
    await gate.reached.wait()
    wish = asyncio.create_task(world.keeper.look())
    await settled()
    wish.cancel()
    gate.opened.set()
    await world.keeper.looked(2)
    assert world.looks == 2
    world.keeper.stop()


async def test_those_who_wait_are_told_of_the_stop() -> None:
    world = World()
    gate = world.hold()
    world.keeper.start()
    await gate.reached.wait()
    wishes = [asyncio.create_task(world.keeper.look()) for _ in range(2)]
    await settled()
    world.keeper.stop()
    await world.keeper.stopped(1.0)
    for wish in wishes:
        with pytest.raises(BatcherStoppedError):
            await wish
    with pytest.raises(BatcherStoppedError):
        await world.keeper.look()


async def test_stop_before_the_start_waits_for_nothing() -> None:
    world = World()
    world.keeper.stop()
    await world.keeper.stopped(1.0)
    assert world.looks == 0
