"""What is wrong with the store, for a moment or for good, costs those who are served nothing."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import ExecutionError
from app.registry.labels import write_labels
from app.registry.version_policy import All, Latest, Specific
from app.types import ServableState
from tests.factories.versions import Defect, edit_manifest, make_version
from tests.unit.registry.world import World, cifar10, serving, settled

pytestmark = pytest.mark.timeout(20)

TESTING = ServableState.TESTING
AVAILABLE = ServableState.AVAILABLE
FAILED = ServableState.FAILED


async def test_store_that_cannot_be_read_for_a_moment_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await serving(tmp_path)
    real = Path.iterdir

    def stale(path: Path) -> Iterator[Path]:
        if path.name == "cifar10":
            raise OSError(116, "Stale file handle")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", stale)
    make_version(tmp_path, version=2)
    await world.manager.reconcile()
    assert world.manager.catalog.resolve() == "live cifar10:1"
    assert world.manager.catalog.unready_reasons() == []

    monkeypatch.undo()
    await world.manager.reconcile()
    assert world.manager.catalog.resolve() == "live cifar10:2"


async def test_new_model_that_is_broken_does_not_make_others_unready(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    folder = make_version(tmp_path, "other", defect=Defect.WRONG_SIZE)

    await world.manager.reconcile()
    assert world.states("other") == {1: FAILED}
    assert world.manager.catalog.unready_reasons() == []

    shutil.rmtree(folder.parent)
    await world.manager.reconcile()
    assert [status.name for status in world.manager.catalog.statuses()] == ["cifar10"]
    assert world.changes[-1] == ("other:1", None)


async def test_version_deleted_after_it_failed_is_forgotten(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    folder = make_version(tmp_path, version=2, defect=Defect.WRONG_SIZE)
    await world.manager.reconcile()

    shutil.rmtree(folder)
    await world.manager.reconcile()

    assert world.states() == {1: AVAILABLE}
    assert world.changes[-1] == ("cifar10:2", None)


async def test_empty_mount_point_changes_neither_what_serves_nor_the_labels(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    for version in (1, 2, 3):
        make_version(store, version=version)
    write_labels(store, {"cifar10": {"stable": 2, "canary": 1}})
    world = World(store, {"cifar10": Latest()})
    await world.manager.reconcile()

    store.rename(tmp_path / "aside")
    store.mkdir()
    await world.manager.reconcile()
    await settled()

    assert world.manager.catalog.resolve() == "live cifar10:2"
    assert world.states() == {3: AVAILABLE, 2: AVAILABLE, 1: AVAILABLE}


async def test_default_of_before_answers_until_the_pinned_version_is_loaded(
    tmp_path: Path,
) -> None:
    world = await serving(tmp_path, versions=2)
    write_labels(tmp_path, {"cifar10": {"stable": 1}})
    testing = world.loader.hold(cifar10(1), TESTING)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.manager.reconcile())
        await testing.reached.wait()
        assert world.manager.catalog.resolve() == "live cifar10:2"
        assert world.manager.catalog.unready_reasons() == []
        testing.opened.set()

    assert world.manager.catalog.resolve() == "live cifar10:1"


async def test_roll_back_to_a_broken_version_leaves_the_one_that_serves(tmp_path: Path) -> None:
    world = await serving(tmp_path, Specific((2,)), versions=2)
    write_labels(tmp_path, {"cifar10": {"stable": 1}})
    world.loader.faults[cifar10(1), TESTING] = ExecutionError("boom")

    await world.manager.reconcile()
    await settled()

    assert world.states() == {2: AVAILABLE, 1: FAILED}
    assert world.manager.catalog.resolve() == "live cifar10:2"


async def test_failure_that_is_not_of_the_files_is_tried_again_after_a_while(
    tmp_path: Path,
) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, version=2)
    world.loader.faults[cifar10(2), TESTING] = MemoryError("no room on the device")
    await world.manager.reconcile()
    world.loader.faults.clear()
    world.loader.loads.clear()

    await world.manager.reconcile()
    assert world.loader.loads == []

    world.now_s += 31
    await world.manager.reconcile()
    assert world.manager.catalog.resolve() == "live cifar10:2"


async def test_older_version_with_other_classes_may_serve_beside_the_default(
    tmp_path: Path,
) -> None:
    edit_manifest(make_version(tmp_path, version=1), classes=["cat", "dog", "wolf"])
    make_version(tmp_path, version=2)
    world = World(tmp_path, {"cifar10": All()})

    await world.manager.reconcile()

    assert world.states() == {2: AVAILABLE, 1: AVAILABLE}


async def test_growing_file_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = await serving(tmp_path)
    caplog.set_level(logging.INFO)
    folder = make_version(tmp_path, version=2)
    content = (folder / "model.keras").read_bytes()
    caplog.clear()
    for size in range(1, len(content)):
        (folder / "model.keras").write_bytes(content[:size])
        await world.manager.reconcile()

    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1
    assert len(caplog.records) == 2  # LOADING, and that it failed
