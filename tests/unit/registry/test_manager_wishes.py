"""What an administrator asks for beside policy and labels, and plans that need versions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.errors import ConflictError, ServableNotFoundError, ServableNotReadyError
from app.registry.labels import set_label
from app.registry.rollout_file import change_rollout
from app.registry.rollout_plan import CanaryEnd, CanaryPlan, RolloutPlan, ShadowPlan
from app.registry.store import ModelStore
from app.registry.version_policy import Latest
from app.registry.version_table import VersionTable
from app.types import ServableState
from tests.factories.versions import Defect, make_version
from tests.unit.registry.world import World, cifar10, serving, settled

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(10)]

AVAILABLE, END = ServableState.AVAILABLE, ServableState.END
FAILED = ServableState.FAILED


def table_of(world: World) -> VersionTable[str]:
    return world.manager.catalog.table("cifar10")


async def look(world: World) -> None:
    await world.manager.reconcile()
    await settled()


async def test_version_is_loaded_beside_those_of_the_policy(tmp_path: Path) -> None:
    world = await serving(tmp_path, versions=3)
    assert table_of(world).wishes.load(1)
    await look(world)
    assert world.states() == {3: AVAILABLE, 1: AVAILABLE}
    assert world.manager.catalog.resolve() == "live cifar10:3"
    assert not table_of(world).wishes.load(1), "asked for twice is no news"


async def test_unloaded_default_hands_over_to_the_next_older_version(tmp_path: Path) -> None:
    world = await serving(tmp_path, versions=2)
    table_of(world).wishes.unload(2)
    await look(world)
    assert world.states() == {2: END, 1: AVAILABLE}
    assert world.manager.catalog.resolve() == "live cifar10:1"
    table_of(world).wishes.load(2)
    await look(world)
    assert world.manager.catalog.resolve() == "live cifar10:2"


async def test_unloaded_version_is_not_kept_warm(tmp_path: Path) -> None:
    make_version(tmp_path, version=1)
    warm = World(tmp_path, keep_warm_s=60)
    await look(warm)
    make_version(tmp_path, version=2)
    await look(warm)
    assert warm.states() == {2: AVAILABLE, 1: AVAILABLE}
    table_of(warm).wishes.unload(1)
    await look(warm)
    assert warm.states() == {2: AVAILABLE, 1: END}


async def test_only_version_has_no_heir(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    assert not table_of(world).has_heir(1)
    make_version(tmp_path, version=2)
    await look(world)
    assert table_of(world).has_heir(2)


async def test_version_above_the_pinned_one_is_no_heir(tmp_path: Path) -> None:
    world = await serving(tmp_path, versions=2)
    world.manager.set_labels("cifar10", set_label(tmp_path, "cifar10", "stable", 1))
    await look(world)
    assert not table_of(world).has_heir(1)


async def test_model_that_is_unloaded_answers_nothing_and_does_not_make_unready(
    tmp_path: Path,
) -> None:
    world = await serving(tmp_path, versions=2)
    table_of(world).wishes.unload(None)
    await look(world)
    assert world.states()[2] is END
    assert world.manager.catalog.unready_reasons() == []
    with pytest.raises(ServableNotReadyError, match="it was unloaded"):
        world.manager.catalog.resolve()
    table_of(world).wishes.load(None)
    await look(world)
    assert world.manager.catalog.resolve() == "live cifar10:2"


async def test_model_that_no_policy_names_is_served_when_asked_for(tmp_path: Path) -> None:
    make_version(tmp_path)
    make_version(tmp_path, "other", 4)
    world = World(tmp_path, {"cifar10": Latest()})
    await look(world)
    with pytest.raises(ServableNotFoundError):
        world.manager.catalog.resolve("other")
    world.manager.include("other")
    await look(world)
    assert world.manager.catalog.resolve("other") == "live other:4"
    assert not world.manager.catalog.table("other").is_required


async def test_model_that_was_asked_for_in_vain_is_forgotten(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    world.manager.include("none")
    await look(world)
    assert world.manager.catalog.table("none").on_disk == ()
    world.manager.exclude("none")
    with pytest.raises(ServableNotFoundError):
        world.manager.catalog.table("none")


async def test_failed_version_is_tried_again_when_asked_for(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, version=2, defect=Defect.WRONG_SIZE)
    await look(world)
    await look(world)
    tries = [change for change in world.changes if change == ("cifar10:2", ServableState.LOADING)]
    assert len(tries) == 1
    world.manager.retry_failed()
    await look(world)
    tries = [change for change in world.changes if change == ("cifar10:2", ServableState.LOADING)]
    assert len(tries) == 2
    assert world.states() == {2: FAILED, 1: AVAILABLE}


class TestGoingBack:
    async def test_it_goes_to_the_default_of_before(self, tmp_path: Path) -> None:
        world = await serving(tmp_path)
        for version in (2, 5):
            make_version(tmp_path, version=version)
            await look(world)
        assert table_of(world).version_before() == 2

    async def test_once_it_is_done_there_is_nothing_to_do(self, tmp_path: Path) -> None:
        world = await serving(tmp_path)
        make_version(tmp_path, version=2)
        await look(world)
        world.manager.set_labels("cifar10", set_label(tmp_path, "cifar10", "stable", 1))
        await look(world)
        assert world.manager.catalog.resolve() == "live cifar10:1"
        assert table_of(world).version_before() is None

    async def test_after_a_restart_it_goes_to_the_next_older_one(self, tmp_path: Path) -> None:
        world = await serving(tmp_path, versions=3)
        assert table_of(world).version_before() == 2

    async def test_after_a_restart_nobody_knows_what_was_before_a_pinned_one(
        self, tmp_path: Path
    ) -> None:
        set_label(tmp_path, "cifar10", "stable", 2)
        world = await serving(tmp_path, versions=3)
        with pytest.raises(ConflictError, match="before this server started"):
            table_of(world).version_before()

    async def test_broken_and_unloaded_versions_are_passed_over(self, tmp_path: Path) -> None:
        world = await serving(tmp_path, versions=4)
        table_of(world).wishes.unload(3)
        (tmp_path / "cifar10" / "2" / "manifest.json").unlink()
        table_of(world).wishes.load(2)
        await look(world)
        assert world.states()[2] is FAILED
        assert table_of(world).version_before() == 1

    async def test_oldest_version_has_nothing_before(self, tmp_path: Path) -> None:
        world = await serving(tmp_path)
        with pytest.raises(ConflictError, match="no version older than 1"):
            table_of(world).version_before()

    async def test_without_a_default_there_is_nothing_to_leave(self, tmp_path: Path) -> None:
        make_version(tmp_path, defect=Defect.NO_MANIFEST)
        world = World(tmp_path)
        await look(world)
        with pytest.raises(ServableNotReadyError):
            table_of(world).version_before()


class TestPlans:
    async def test_targets_are_loaded(self, tmp_path: Path) -> None:
        world = await serving(tmp_path, versions=4)
        set_label(tmp_path, "cifar10", "next", 2)
        change_rollout(
            tmp_path,
            "cifar10",
            lambda plan: RolloutPlan(
                canary=CanaryPlan(target="1", share=0.5), shadow=ShadowPlan(target="next", share=1)
            ),
        )
        await look(world)
        assert world.states() == {4: AVAILABLE, 2: AVAILABLE, 1: AVAILABLE}
        assert table_of(world).find_target("1") == "live cifar10:1"
        assert table_of(world).find_target("next") == "live cifar10:2"

    async def test_default_version_is_no_target(self, tmp_path: Path) -> None:
        world = await serving(tmp_path, versions=2)
        assert table_of(world).find_target("2") is None
        assert table_of(world).find_target("latest") is None

    async def test_plans_of_the_settings_hold_where_the_store_says_nothing(
        self, tmp_path: Path
    ) -> None:
        make_version(tmp_path, version=1)
        make_version(tmp_path, version=2)
        plan = RolloutPlan(canary=CanaryPlan(target="1", share=0.5))
        world = World(tmp_path, default_plans={"cifar10": plan})
        await look(world)
        assert table_of(world).plan == plan
        off = CanaryPlan(target="latest", share=0)
        change_rollout(tmp_path, "cifar10", lambda _: RolloutPlan(canary=off))
        await look(world)
        assert table_of(world).plan == RolloutPlan(canary=off)
        assert world.states() == {2: AVAILABLE, 1: END}

    async def test_what_was_written_meanwhile_is_not_undone_by_a_look_in_hand(
        self, tmp_path: Path
    ) -> None:
        world = await serving(tmp_path, versions=2)
        seen = asyncio.Event()
        go_on = asyncio.Event()
        store = HeldStore(tmp_path, seen, go_on, asyncio.get_running_loop())
        held = World(store, {"cifar10": Latest()})  # or it would list the models first
        go_on.set()
        await look(held)
        go_on.clear()
        seen.clear()
        looking = asyncio.create_task(held.manager.reconcile())
        await seen.wait()  # the labels have been read, and were none
        held.manager.set_labels("cifar10", set_label(tmp_path, "cifar10", "stable", 1))
        plan = RolloutPlan(shadow=ShadowPlan(target="1", share=0.5))
        held.manager.set_plan("cifar10", plan)
        store.let_go()
        await looking
        assert table_of(held).pinned == 1
        assert table_of(held).plan == plan
        assert world.manager.catalog.resolve() == "live cifar10:2"

    async def test_end_that_could_not_be_written_outlasts_the_looks_and_other_plans(
        self, tmp_path: Path
    ) -> None:
        world = await serving(tmp_path, versions=2)
        end = CanaryEnd(version=1, reason="slow", ended_at=datetime(2026, 1, 2, tzinfo=UTC))
        table_of(world).unwritten_ends = (end,)
        await look(world)
        assert table_of(world).plan.end_of(1) == end
        world.manager.set_plan("cifar10", RolloutPlan(shadow=ShadowPlan(target="1", share=1)))
        assert table_of(world).plan.end_of(1) == end


async def test_version_that_is_unloaded_while_it_loads_is_never_the_default(
    tmp_path: Path,
) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, version=2)
    gate = world.loader.hold(cifar10(2), ServableState.TESTING)
    looking = asyncio.create_task(world.manager.reconcile())
    await gate.reached.wait()
    table_of(world).wishes.unload(2)
    gate.opened.set()
    await looking
    await settled()
    assert world.states() == {2: END, 1: AVAILABLE}
    assert world.loader.unloads == ["live cifar10:2"]
    assert world.defaults[-1] == 1
    assert 2 not in world.defaults


async def test_what_is_unloaded_ends_though_the_store_is_gone(tmp_path: Path) -> None:
    world = await serving(tmp_path / "store", Latest(2), versions=2)
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    table_of(world).wishes.unload(2)
    await look(world)
    assert world.manager.look_fault is not None
    assert world.loader.unloads == ["live cifar10:2"]
    assert world.manager.catalog.resolve() == "live cifar10:1"
    table_of(world).wishes.unload(None)
    await look(world)
    assert world.loader.unloads == ["live cifar10:2", "live cifar10:1"]


async def test_wishes_outlast_a_model_that_goes_and_comes_back(tmp_path: Path) -> None:
    world = await serving(tmp_path)
    make_version(tmp_path, "other")
    table_of(world).wishes.unload(None)
    await look(world)
    (tmp_path / "cifar10").rename(tmp_path / ".aside")
    await look(world)
    with pytest.raises(ServableNotFoundError):
        world.manager.catalog.table("cifar10")
    (tmp_path / ".aside").rename(tmp_path / "cifar10")
    await look(world)
    with pytest.raises(ServableNotReadyError, match="it was unloaded"):
        world.manager.catalog.resolve()


class HeldStore(ModelStore):
    """A store whose ``versions`` waits: what else was to be seen has been seen by then."""

    def __init__(
        self,
        root: Path,
        seen: asyncio.Event,
        go_on: asyncio.Event,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(root)
        self._seen, self._go_on, self._loop = seen, go_on, loop

    def let_go(self) -> None:
        self._go_on.set()

    def versions(self, name: str) -> tuple[int, ...]:
        self._loop.call_soon_threadsafe(self._seen.set)
        asyncio.run_coroutine_threadsafe(self._go_on.wait(), self._loop).result(5)
        return super().versions(name)
