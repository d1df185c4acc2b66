from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.errors import ServableNotReadyError
from app.types import ServableId, ServableState
from tests.factories.versions import make_version
from tests.unit.registry.world import World, cifar10

pytestmark = pytest.mark.timeout(20)

WARMING = ServableState.WARMING
DRAINING = ServableState.DRAINING
END = ServableState.END
FAILED = ServableState.FAILED


async def test_all_versions_refuse_before_the_first_has_drained_and_then_end(
    loaded: World,
) -> None:
    ids = [cifar10(1), cifar10(3), ServableId("other", 5)]
    gates = [loaded.loader.hold(servable_id, DRAINING) for servable_id in ids]
    loaded.changes.clear()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(loaded.manager.unload_all())
        for gate in gates:  # all are reached while none is opened: they end concurrently
            await gate.reached.wait()
        assert loaded.states() == {4: FAILED, 3: DRAINING, 1: DRAINING}
        assert loaded.manager.catalog.unready_reasons() == ["cifar10: DRAINING", "other: DRAINING"]
        with pytest.raises(ServableNotReadyError, match="cifar10 is not ready: DRAINING"):
            loaded.manager.catalog.resolve()
        with pytest.raises(ServableNotReadyError, match="cifar10:1 is DRAINING"):
            loaded.manager.catalog.resolve(version=1)
        for gate in gates:
            gate.opened.set()

    assert loaded.states() == {4: FAILED, 3: END, 1: END}
    assert loaded.manager.catalog.unready_reasons() == ["cifar10: END", "other: END"]
    assert sorted(loaded.changes[:3]) == [(str(servable_id), DRAINING) for servable_id in ids]
    assert sorted(loaded.changes[3:]) == [(str(servable_id), END) for servable_id in ids]


async def test_failing_unload_does_not_keep_others_from_ending(loaded: World) -> None:
    loaded.loader.faults[cifar10(3), DRAINING] = RuntimeError("boom")

    await loaded.manager.unload_all()

    assert loaded.states() == {4: FAILED, 3: FAILED, 1: END}
    assert loaded.versions()[1].reason == "RuntimeError, see the log of the server"
    assert loaded.states("other") == {5: END}


async def test_second_unload_does_nothing(loaded: World) -> None:
    await loaded.manager.unload_all()
    await loaded.manager.unload_all()

    assert len(loaded.loader.unloads) == 3


async def test_version_whose_turn_never_came_ends_without_the_loader(tmp_path: Path) -> None:
    make_version(tmp_path, "cifar10")
    make_version(tmp_path, "other")
    world = World(tmp_path)
    gate = world.loader.hold(cifar10(1), WARMING)
    loading = asyncio.create_task(world.manager.reconcile())
    await gate.reached.wait()
    loading.cancel()
    await asyncio.wait([loading])

    await world.manager.unload_all()

    assert world.states("other") == {1: END}
    assert world.loader.unloads == []
