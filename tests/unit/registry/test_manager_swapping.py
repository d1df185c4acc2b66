"""What is served follows the store: one ``reconcile`` after each change."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from app.errors import ExecutionError, ServableNotReadyError
from app.registry.version_policy import All, Latest, Specific
from app.types import ServableId, ServableState
from tests.factories.versions import Defect, edit_manifest, make_version
from tests.unit.registry.world import World, cifar10, serving, settled

pytestmark = pytest.mark.timeout(20)

LOADING = ServableState.LOADING
TESTING = ServableState.TESTING
AVAILABLE = ServableState.AVAILABLE
DRAINING = ServableState.DRAINING
END = ServableState.END
FAILED = ServableState.FAILED


async def test_new_version_takes_over_and_then_the_old_one_ends(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, version=2)

    await world.manager.reconcile()
    await settled()

    assert world.manager.catalog.resolve() == "live cifar10:2"
    assert world.loader.unloads == ["live cifar10:1"]
    assert world.states() == {2: AVAILABLE, 1: END}
    available, draining = (
        world.changes.index(("cifar10:2", AVAILABLE)),
        world.changes.index(("cifar10:1", DRAINING)),
    )
    assert available < draining


async def test_old_version_answers_until_the_new_one_is_tested_and_drains_without_being_waited_for(
    tmp_path: Path,
) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, version=2)
    testing = world.loader.hold(cifar10(2), TESTING)
    draining = world.loader.hold(cifar10(1), DRAINING)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.manager.reconcile())
        await testing.reached.wait()
        assert world.manager.catalog.resolve() == "live cifar10:1"
        testing.opened.set()
    await draining.reached.wait()

    assert world.manager.catalog.resolve() == "live cifar10:2"
    assert world.states() == {2: AVAILABLE, 1: DRAINING}
    make_version(tmp_path, version=3)
    await world.manager.reconcile()  # goes on while the first one drains
    assert world.manager.catalog.resolve() == "live cifar10:3"
    draining.opened.set()
    await settled()
    assert world.states() == {3: AVAILABLE, 2: END, 1: END}


async def test_unload_all_waits_for_versions_that_were_draining_already(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, version=2)
    draining = world.loader.hold(cifar10(1), DRAINING)
    await world.manager.reconcile()
    await draining.reached.wait()

    async with asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(world.manager.unload_all())
        await settled()
        assert not ending.done()
        draining.opened.set()

    assert world.states() == {2: END, 1: END}
    assert sorted(world.loader.unloads) == ["live cifar10:1", "live cifar10:2"]


@pytest.mark.parametrize("defect", Defect)
async def test_broken_version_is_shown_and_the_old_one_goes_on_serving(
    tmp_path: Path, defect: Defect
) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, version=2, defect=defect)

    await world.manager.reconcile()
    await settled()

    assert world.states() == {2: FAILED, 1: AVAILABLE}
    assert world.versions()[0].reason
    assert world.manager.catalog.resolve() == "live cifar10:1"
    assert world.manager.catalog.unready_reasons() == []
    with pytest.raises(ServableNotReadyError, match="cifar10:2 is FAILED"):
        world.manager.catalog.resolve(version=2)


@pytest.mark.parametrize("defect", Defect)
async def test_mended_version_is_tried_again_and_an_unchanged_one_is_not(
    tmp_path: Path, defect: Defect
) -> None:
    world = await serving(tmp_path)
    folder = make_version(tmp_path, version=2, defect=defect)
    await world.manager.reconcile()
    world.changes.clear()

    await world.manager.reconcile()
    assert world.changes == []

    shutil.rmtree(folder)
    make_version(tmp_path, version=2)
    await world.manager.reconcile()
    assert world.manager.catalog.resolve() == "live cifar10:2"
    assert world.versions()[0].reason is None


async def test_version_that_is_being_copied_fails_quietly_until_it_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = await serving(tmp_path)
    whole = make_version(tmp_path / "elsewhere", version=2)
    files = sorted(path for path in whole.rglob("*") if path.is_file())
    files.sort(key=lambda path: path.name == "manifest.json")  # as the last one
    for path in files:
        await world.manager.reconcile()
        assert world.manager.catalog.resolve() == "live cifar10:1"
        target = tmp_path / "cifar10" / "2" / path.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)

    await world.manager.reconcile()

    assert world.manager.catalog.resolve() == "live cifar10:2"
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1  # the same reason, said once


async def test_version_that_fails_its_test_is_never_served(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, version=2)
    world.loader.faults[cifar10(2), TESTING] = ExecutionError("top-1 agreement 0.2, must be 0.99")

    await world.manager.reconcile()

    assert world.manager.catalog.resolve() == "live cifar10:1"
    assert world.versions()[0].reason == "top-1 agreement 0.2, must be 0.99"


async def test_store_that_is_gone_ends_nothing_and_serves_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    world = await serving(store)

    store.rename(tmp_path / "aside")
    await world.manager.reconcile()
    assert world.manager.catalog.resolve() == "live cifar10:1"
    assert world.manager.catalog.unready_reasons() == []

    (tmp_path / "aside").rename(store)
    make_version(store, version=2)
    await world.manager.reconcile()
    assert world.manager.catalog.resolve() == "live cifar10:2"
    assert world.loader.loads == [cifar10(2)]


async def test_versions_that_are_gone_from_disk_serve_on_if_nothing_else_is_there(
    tmp_path: Path,
) -> None:
    world = await serving(tmp_path)

    shutil.rmtree(tmp_path / "cifar10" / "1")
    await world.manager.reconcile()

    assert world.manager.catalog.resolve() == "live cifar10:1"


async def test_newest_version_taken_away_brings_the_older_one_back(tmp_path: Path) -> None:
    world = await serving(tmp_path, versions=2)
    assert world.manager.catalog.resolve() == "live cifar10:2"

    shutil.rmtree(tmp_path / "cifar10" / "2")
    await world.manager.reconcile()
    await settled()

    assert world.manager.catalog.resolve() == "live cifar10:1"
    assert world.states() == {1: AVAILABLE, 2: END}
    await world.manager.reconcile()
    assert world.states() == {1: AVAILABLE}  # what neither serves nor exists is forgotten


async def test_window_of_latest_versions_moves_on(tmp_path: Path) -> None:
    world = await serving(tmp_path, Latest(2), versions=3)
    make_version(tmp_path, version=4)

    await world.manager.reconcile()
    await settled()

    assert world.states() == {4: AVAILABLE, 3: AVAILABLE, 2: END}
    assert world.manager.catalog.resolve(version=3) == "live cifar10:3"


async def test_named_version_is_served_as_soon_as_it_is_there(tmp_path: Path) -> None:
    world = await serving(tmp_path, Specific((1, 3)))
    assert world.states() == {3: FAILED, 1: AVAILABLE}

    make_version(tmp_path, version=2)
    make_version(tmp_path, version=3)
    await world.manager.reconcile()

    assert world.states() == {3: AVAILABLE, 1: AVAILABLE}


async def test_all_versions_follow_the_store(tmp_path: Path) -> None:
    world = await serving(tmp_path, All(), versions=2)
    make_version(tmp_path, version=3)
    shutil.rmtree(tmp_path / "cifar10" / "1")

    await world.manager.reconcile()
    await settled()

    assert world.states() == {3: AVAILABLE, 2: AVAILABLE, 1: END}


async def test_model_that_appears_is_served(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, "other", 5)

    await world.manager.reconcile()

    assert world.manager.catalog.resolve("other") == "live other:5"
    assert world.loader.loads == [ServableId("other", 5)]


async def test_version_with_other_classes_does_not_take_over_unless_allowed(
    tmp_path: Path,
) -> None:
    world = await serving(tmp_path)
    folder = make_version(tmp_path, version=2)
    edit_manifest(folder, classes=["cat", "dog", "wolf"])

    await world.manager.reconcile()

    assert world.manager.catalog.resolve() == "live cifar10:1"
    reason = world.versions()[0].reason
    assert reason is not None
    assert reason.startswith("its classes are not those of version 1, which serves: ")
    assert "it has wolf in addition and it lacks frog" in reason
    assert "KERASERVE_ALLOW_CLASS_CHANGES" in reason

    free = World(tmp_path, allow_class_changes=True)
    await free.manager.reconcile()
    assert free.manager.catalog.resolve() == "live cifar10:2"


async def test_state_tells_since_when(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    (before,) = world.versions()
    make_version(tmp_path, version=2)

    await world.manager.reconcile()
    await settled()

    new, old = world.versions()
    assert before.since < new.since
    assert before.since < old.since


async def test_cancelled_in_the_middle_of_a_swap_the_old_version_stays(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, version=2)
    testing = world.loader.hold(cifar10(2), TESTING)
    swapping = asyncio.create_task(world.manager.reconcile())
    await testing.reached.wait()

    swapping.cancel()
    await asyncio.wait([swapping])

    assert world.states() == {2: FAILED, 1: AVAILABLE}
    assert world.manager.catalog.resolve() == "live cifar10:1"
