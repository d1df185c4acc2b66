"""A version whose engine failed takes over from itself."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from app.errors import ArtifactError
from app.types import ServableId, ServableState
from tests.unit.registry.world import World, cifar10, serving, settled

pytestmark = pytest.mark.timeout(10)


def answering(world: World) -> str:
    return world.manager.catalog.resolve("cifar10", 1)


async def test_renewed_version_takes_over_and_stays_available(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    gate = world.loader.hold(cifar10(1), ServableState.LOADING)
    renewing = asyncio.create_task(world.manager.renew(cifar10(1)))
    await gate.reached.wait()
    assert answering(world) == "live cifar10:1", "the one that failed goes on until then"
    gate.opened.set()
    assert await renewing
    assert answering(world) == "live cifar10:1, renewed"
    await settled()
    assert world.loader.retired == ["live cifar10:1"]
    assert world.changes == [], "to everybody else it was AVAILABLE all the time"


async def test_version_that_cannot_be_loaded_again_goes_on_as_it_is(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    world.loader.faults[cifar10(1), ServableState.LOADING] = ArtifactError("self-test")
    with pytest.raises(ArtifactError):
        await world.manager.renew(cifar10(1))
    assert answering(world) == "live cifar10:1"
    assert world.loader.retired == []


async def test_files_that_were_altered_are_not_loaded_again(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    (tmp_path / "cifar10" / "1" / "model.keras").write_bytes(b"another one")
    with pytest.raises(ArtifactError):
        await world.manager.renew(cifar10(1))
    assert world.loader.renewals == []


@pytest.mark.parametrize("servable_id", [cifar10(7), ServableId("none", 1)])
async def test_what_does_not_serve_is_not_renewed(tmp_path: Path, servable_id: ServableId) -> None:
    world = await serving(tmp_path)
    assert not await world.manager.renew(servable_id)


async def test_version_that_ends_meanwhile_leaves_nothing_behind(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    gate = world.loader.hold(cifar10(1), ServableState.LOADING)
    renewing = asyncio.create_task(world.manager.renew(cifar10(1)))
    await gate.reached.wait()
    await world.manager.unload_all()
    gate.opened.set()
    assert not await renewing
    await settled()
    assert world.loader.unloads == ["live cifar10:1"]
    assert world.loader.retired == ["live cifar10:1, renewed"]


async def test_stop_does_not_wait_for_an_engine_that_hangs(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    world.loader.hold(cifar10(1), ServableState.END)
    await world.manager.renew(cifar10(1))
    await settled()
    await world.manager.unload_all()
    assert world.loader.unloads == ["live cifar10:1, renewed"]


async def test_engine_that_cannot_be_closed_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = await serving(tmp_path)
    world.loader.faults[cifar10(1), ServableState.END] = RuntimeError("still busy")
    with caplog.at_level(logging.ERROR):
        await world.manager.renew(cifar10(1))
        await settled()
    errors = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ["engine not closed"]
