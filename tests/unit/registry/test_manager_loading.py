from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from app.errors import ExecutionError
from app.registry.version_policy import All, Latest, Specific
from app.types import ServableId, ServableState
from tests.factories.versions import Defect, make_version
from tests.unit.registry.world import World, cifar10

pytestmark = pytest.mark.timeout(20)

START = ServableState.START
LOADING = ServableState.LOADING
WARMING = ServableState.WARMING
TESTING = ServableState.TESTING
AVAILABLE = ServableState.AVAILABLE
FAILED = ServableState.FAILED


async def test_version_goes_through_every_state_until_it_is_available(tmp_path: Path) -> None:
    make_version(tmp_path)
    world = World(tmp_path)

    await world.manager.reconcile()

    assert world.changes == [
        ("cifar10:1", state) for state in (START, LOADING, WARMING, TESTING, AVAILABLE)
    ]
    assert world.manager.catalog.resolve() == "live cifar10:1"


async def test_latest_version_of_every_model_is_loaded_where_no_policy_is_set(
    tmp_path: Path,
) -> None:
    for name, version in (("cifar10", 1), ("cifar10", 2), ("other", 7)):
        make_version(tmp_path, name, version)
    world = World(tmp_path)

    await world.manager.reconcile()

    assert world.loader.loads == [cifar10(2), ServableId("other", 7)]


async def test_only_models_with_a_policy_are_loaded(tmp_path: Path) -> None:
    for name, version in (("cifar10", 1), ("cifar10", 2), ("other", 7), ("x", 1)):
        make_version(tmp_path, name, version)
    world = World(tmp_path, {"x": Latest(), "cifar10": Specific((1,))})

    await world.manager.reconcile()

    assert world.loader.loads == [ServableId("x", 1), cifar10(1)]


async def test_several_versions_are_loaded_newest_first_and_the_highest_is_default(
    tmp_path: Path,
) -> None:
    for version in (1, 2, 10):
        make_version(tmp_path, version=version)
    world = World(tmp_path, {"cifar10": All()})

    await world.manager.reconcile()

    assert world.loader.loads == [cifar10(10), cifar10(2), cifar10(1)]
    assert world.manager.catalog.resolve() == "live cifar10:10"
    assert world.manager.catalog.resolve(version=2) == "live cifar10:2"


@pytest.mark.parametrize("defect", Defect)
async def test_defective_version_fails_with_a_reason_and_the_older_one_serves(
    tmp_path: Path, defect: Defect, caplog: pytest.LogCaptureFixture
) -> None:
    make_version(tmp_path, version=1)
    make_version(tmp_path, version=2, defect=defect)
    world = World(tmp_path)

    await world.manager.reconcile()

    assert world.states() == {2: FAILED, 1: AVAILABLE}
    assert world.versions()[0].reason
    assert world.loader.loads == [cifar10(1)]
    assert world.manager.catalog.resolve() == "live cifar10:1"
    assert world.manager.catalog.unready_reasons() == []
    [record] = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert record.getMessage() == "version failed"
    assert vars(record)["version"] == 2
    assert vars(record)["reason"] == world.versions()[0].reason
    assert record.exc_info is None


async def test_manifest_of_a_version_with_a_wrong_checksum_is_still_shown(tmp_path: Path) -> None:
    make_version(tmp_path, defect=Defect.WRONG_SHA256)
    world = World(tmp_path)

    await world.manager.reconcile()

    [version] = world.versions()
    assert version.state is FAILED
    assert version.manifest is not None
    assert version.manifest.architecture == "tiny"


async def test_refusal_by_the_loader_is_the_reason(tmp_path: Path) -> None:
    make_version(tmp_path)
    world = World(tmp_path)
    world.loader.faults[cifar10(1), TESTING] = ExecutionError("top-1 agreement 0.2, must be 0.99")

    await world.manager.reconcile()

    [version] = world.versions()
    assert (version.state, version.live) == (FAILED, None)
    assert version.reason == "top-1 agreement 0.2, must be 0.99"


async def test_unexpected_error_is_shown_by_its_kind_alone_and_logged_once_with_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_version(tmp_path)
    world = World(tmp_path)
    world.loader.faults[cifar10(1), WARMING] = KeyError("/secret/path")

    await world.manager.reconcile()

    [version] = world.versions()
    assert version.reason == "KeyError, see the log of the server"
    [record] = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert record.exc_info is not None


async def test_older_versions_are_tried_until_enough_serve(tmp_path: Path) -> None:
    for version in range(1, 7):
        make_version(tmp_path, version=version)
    world = World(tmp_path, {"cifar10": Latest(2)})
    for broken in (6, 4, 3):
        world.loader.faults[cifar10(broken), TESTING] = ExecutionError("no")

    await world.manager.reconcile()

    assert world.states() == {6: FAILED, 5: AVAILABLE, 4: FAILED, 3: FAILED, 2: AVAILABLE}


async def test_nothing_stands_in_for_a_specific_version(tmp_path: Path) -> None:
    make_version(tmp_path, version=1)
    world = World(tmp_path, {"cifar10": Specific((2,))})

    await world.manager.reconcile()

    assert world.states() == {2: FAILED}
    assert world.manager.catalog.unready_reasons() == [
        "cifar10: version 2 is FAILED: cifar10:2 is not in the store (KERASERVE_MODEL_DIR)"
    ]


async def test_broken_model_does_not_keep_others_from_serving(tmp_path: Path) -> None:
    make_version(tmp_path, "a", defect=Defect.NO_MANIFEST)
    make_version(tmp_path, "b")
    make_version(tmp_path, "c")
    world = World(tmp_path)
    world.loader.faults[ServableId("b", 1), WARMING] = RuntimeError("boom")

    await world.manager.reconcile()

    assert [world.states(name)[1] for name in "abc"] == [FAILED, FAILED, AVAILABLE]
    assert world.manager.catalog.resolve("c") == "live c:1"


async def test_every_model_is_known_while_the_first_one_loads(tmp_path: Path) -> None:
    make_version(tmp_path, "cifar10")
    make_version(tmp_path, "other")
    world = World(tmp_path)
    gate = world.loader.hold(cifar10(1), WARMING)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.manager.reconcile())
        await gate.reached.wait()
        assert world.states("other") == {1: START}
        assert world.manager.catalog.unready_reasons() == ["cifar10: WARMING", "other: START"]
        assert world.loader.loads == [cifar10(1)]
        gate.opened.set()

    assert world.manager.catalog.unready_reasons() == []


async def test_first_model_serves_while_the_second_loads(tmp_path: Path) -> None:
    make_version(tmp_path, "cifar10")
    make_version(tmp_path, "other")
    world = World(tmp_path)
    gate = world.loader.hold(ServableId("other", 1), TESTING)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.manager.reconcile())
        await gate.reached.wait()
        assert world.manager.catalog.resolve() == "live cifar10:1"
        assert world.manager.catalog.unready_reasons() == ["other: TESTING"]
        gate.opened.set()


async def test_cancelled_loading_fails_the_version_in_hand_and_keeps_those_that_serve(
    tmp_path: Path,
) -> None:
    make_version(tmp_path, "cifar10")
    make_version(tmp_path, "other")
    world = World(tmp_path)
    gate = world.loader.hold(ServableId("other", 1), WARMING)
    loading = asyncio.create_task(world.manager.reconcile())
    await gate.reached.wait()

    loading.cancel()
    await asyncio.wait([loading])

    assert loading.cancelled()
    assert world.manager.catalog.resolve() == "live cifar10:1"
    assert world.versions("other")[0].reason == "loading was cancelled"


@pytest.mark.parametrize("late", [WARMING, TESTING])
async def test_report_after_the_load_has_ended_changes_nothing(
    tmp_path: Path, late: ServableState
) -> None:
    make_version(tmp_path)
    world = World(tmp_path)
    await world.manager.reconcile()

    world.loader.reports[cifar10(1)](late)

    assert world.states() == {1: AVAILABLE}


async def test_state_never_steps_back_while_a_second_precision_is_warmed_up(
    tmp_path: Path,
) -> None:
    make_version(tmp_path)
    world = World(tmp_path)
    gate = world.loader.hold(cifar10(1), TESTING)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.manager.reconcile())
        await gate.reached.wait()
        world.loader.reports[cifar10(1)](WARMING)
        assert world.states() == {1: TESTING}
        gate.opened.set()


async def test_loader_cannot_declare_a_version_available(tmp_path: Path) -> None:
    make_version(tmp_path)
    world = World(tmp_path)
    await world.manager.reconcile()

    with pytest.raises(ValueError, match="a loader cannot report AVAILABLE"):
        world.loader.reports[cifar10(1)](AVAILABLE)


async def test_missing_default_model_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_version(tmp_path, "other")

    await World(tmp_path).manager.reconcile()

    [record] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert record.getMessage() == "default model is not among the models"
    assert vars(record)["models"] == ["other"]
