from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.errors import ArtifactError, ServableNotFoundError, ServableNotReadyError
from app.registry.store import ModelStore
from app.registry.version_policy import Latest, VersionPolicy
from app.types import ServableState
from tests.factories.versions import Defect, make_version
from tests.unit.registry.world import World, cifar10

pytestmark = pytest.mark.timeout(20)

WARMING = ServableState.WARMING


async def test_not_ready_before_loading_has_begun(tmp_path: Path) -> None:
    make_version(tmp_path)
    world = World(tmp_path)

    assert world.manager.catalog.unready_reasons() == ["loading has not begun"]
    with pytest.raises(ServableNotReadyError, match="loading has not begun"):
        world.manager.catalog.resolve()


async def test_not_ready_where_no_model_is_found(tmp_path: Path) -> None:
    world = World(tmp_path / "gone")

    await world.manager.reconcile()

    assert world.manager.catalog.unready_reasons() == [
        f"no model found in {tmp_path / 'gone'} (KERASERVE_MODEL_DIR)"
    ]


async def test_not_ready_where_no_model_is_asked_for(tmp_path: Path) -> None:
    make_version(tmp_path)
    world = World(tmp_path, {})

    await world.manager.reconcile()

    assert len(world.manager.catalog.unready_reasons()) == 1


async def test_not_ready_while_a_required_model_has_no_version(tmp_path: Path) -> None:
    make_version(tmp_path, "other")
    world = World(tmp_path, {"other": Latest(), "cifar10": Latest()})

    await world.manager.reconcile()

    text = "no version in the store (KERASERVE_MODEL_DIR)"
    assert world.manager.catalog.unready_reasons() == [f"cifar10: {text}"]
    with pytest.raises(ServableNotReadyError, match="cifar10 is not ready: no version"):
        world.manager.catalog.resolve()
    with pytest.raises(ServableNotFoundError, match="no version 1; it has: none"):
        world.manager.catalog.resolve(version=1)


async def test_not_ready_with_the_newest_reason_where_every_version_failed(
    tmp_path: Path,
) -> None:
    make_version(tmp_path, version=1, defect=Defect.NO_MANIFEST)
    make_version(tmp_path, version=2, defect=Defect.MISSING_FILE)
    world = World(tmp_path)

    await world.manager.reconcile()

    reason = "version 2 is FAILED: 'model.keras' is missing"
    assert world.manager.catalog.unready_reasons() == [f"cifar10: {reason}"]
    with pytest.raises(ServableNotReadyError, match=f"cifar10 is not ready: {reason}"):
        world.manager.catalog.resolve()


async def test_not_ready_tells_the_state_of_the_older_version_that_is_loaded_instead(
    tmp_path: Path,
) -> None:
    make_version(tmp_path, version=1)
    make_version(tmp_path, version=2, defect=Defect.NO_MANIFEST)
    world = World(tmp_path)
    gate = world.loader.hold(cifar10(1), WARMING)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.manager.reconcile())
        await gate.reached.wait()
        assert world.manager.catalog.unready_reasons() == ["cifar10: WARMING"]
        gate.opened.set()


async def test_not_ready_where_the_store_cannot_be_listed(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    world = World(tmp_path / "loop")

    await world.manager.reconcile()

    [reason] = world.manager.catalog.unready_reasons()
    assert reason.endswith("loop' cannot be listed: Too many levels of symbolic links")
    with pytest.raises(ServableNotReadyError, match=r"^no model is known: .* cannot be listed"):
        world.manager.catalog.resolve()


@pytest.mark.parametrize("policies", [None, {"broken": Latest(), "cifar10": Latest()}])
async def test_model_that_cannot_be_listed_does_not_keep_others_from_serving(
    tmp_path: Path, policies: Mapping[str, VersionPolicy] | None
) -> None:
    class OneBrokenFolder(ModelStore):  # root, as which containers run tests, may list any real one
        def versions(self, name: str) -> tuple[int, ...]:
            if name == "broken":
                raise ArtifactError("'broken' cannot be listed: Input/output error")
            return super().versions(name)

    make_version(tmp_path, "broken")
    make_version(tmp_path, "cifar10")
    world = World(OneBrokenFolder(tmp_path), policies)

    await world.manager.reconcile()

    assert world.manager.catalog.resolve() == "live cifar10:1"
    assert world.manager.catalog.unready_reasons() == [
        "broken: 'broken' cannot be listed: Input/output error"
    ]
