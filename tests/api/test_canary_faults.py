"""What must not end a canary, what a bad canary must not do, and what must not bring it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.registry.labels import read_labels
from app.registry.rollout_file import ROLLOUTS_FILE, read_rollouts
from tests.api.orders import SETTINGS, done
from tests.api.test_canary import CANARY, ask, canary_of, fail, serving_canary
from tests.api.world import CLASSES, World, add_version, assert_problem, picture, serving, until

pytestmark = pytest.mark.timeout(60)

ALL = {"share": 1}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """``cifar10:1`` is stable, version 2 is its canary and gets everything."""
    async with serving_canary(tmp_path, ALL) as world:
        yield world


async def end(world: World) -> None:
    """Let the canary fail until it is ended, and that is written."""
    world.puppets["cifar10:2"].behave = fail
    for _ in range(10):
        assert await ask(world) == 1
    await until(lambda: bool(read_rollouts(world.lifecycle.store_root)["cifar10"].ended))


async def is_ready(world: World) -> bool:
    return (await world.client.get("/readyz")).status_code == 200


async def test_canary_that_fails_on_what_it_could_before_leaves_the_server_ready(
    world: World,
) -> None:
    assert await ask(world) == 2
    world.puppets["cifar10:2"].behave = fail
    assert await ask(world) == 1
    assert await is_ready(world)
    canary = await canary_of(world)
    assert canary["state"] == "WAITING", "it gets nothing while it is sick"
    assert "cifar10:2" in canary["reason"]


async def test_canary_that_hangs_is_noticed_by_the_time_alone(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, ALL, request_timeout_ms=4000) as world:
        world.puppets["cifar10:2"].hold()
        assert await ask(world) == 1
        assert (
            world.count("canary_requests_total", model="cifar10", version="2", outcome="error") == 1
        )
        world.puppets["cifar10:2"].let_go()


async def test_deadlines_of_callers_end_no_canary(world: World) -> None:
    for _ in range(20):
        assert_problem(await world.classify(timeout_ms=0.001), 504, "deadline_exceeded")
    canary = await canary_of(world)
    assert (canary["state"], canary["requests"]) == ("ACTIVE", 0)


async def test_times_of_many_images_and_of_low_priority_are_not_compared(world: World) -> None:
    await world.classify_batch([("a.png", picture(1)), ("b.png", picture(2))])
    await world.classify(priority="bulk")
    canary = await canary_of(world)
    assert (canary["requests"], canary["p95_ms"]) == (2, None)
    await ask(world)
    canary = await canary_of(world)
    assert canary["requests"] == 3
    assert canary["p95_ms"] > 0


async def test_version_of_other_classes_is_no_canary_unless_that_is_allowed(
    tmp_path: Path,
) -> None:
    for is_allowed, answers in ((False, 2), (True, 1)):
        store = tmp_path / str(is_allowed)
        add_version(store, version=1, classes=(*CLASSES[:-1], "newt"))
        add_version(store, version=2)
        async with serving(store, allow_class_changes=is_allowed, **SETTINGS) as world:
            plan = {"target": "1", "share": 1}
            done(await world.order("PUT", "/models/cifar10/canary", plan))
            assert await ask(world) == answers
            if not is_allowed:
                assert "other classes" in (await canary_of(world))["reason"]


async def test_both_versions_are_kept_for_a_request_whose_body_still_comes(world: World) -> None:
    rest = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield picture()[:20]
        await rest.wait()
        yield picture()[20:]

    lives = [
        world.lifecycle.director.choose(None, version, None, key="").live for version in (1, 2)
    ]
    headers = {"Content-Type": "image/png"}
    asked = asyncio.create_task(
        world.client.post("/v1/classify", content=slowly(), headers=headers)
    )
    await until(lambda: all(live.leases.held == 1 for live in lives))
    rest.set()
    assert (await asked).json()["version"] == 2
    assert all(live.leases.held == 0 for live in lives)


async def test_request_of_an_older_plan_does_not_end_the_new_one(world: World) -> None:
    puppet = world.puppets["cifar10:2"]
    for _ in range(9):
        await ask(world)
    before = len(puppet.executed)
    puppet.hold()
    asked = world.begin()
    await puppet.began(before + 1)
    plan = CANARY | ALL | {"min_requests": 1}
    done(await world.order("PUT", "/models/cifar10/canary", plan))
    puppet.behave = fail
    puppet.let_go()
    assert (await asked).json()["version"] == 1
    assert (await canary_of(world))["state"] != "ENDED"
    assert read_rollouts(world.lifecycle.store_root)["cifar10"].ended == ()


async def test_canary_that_is_set_again_after_its_end_begins_anew(world: World) -> None:
    await end(world)
    world.puppets["cifar10:2"].behave = world.puppets["cifar10:1"].behave
    done(await world.order("PUT", "/models/cifar10/canary", CANARY | ALL))
    assert await ask(world) == 2
    canary = await canary_of(world)
    assert (canary["state"], canary["reason"]) == ("ACTIVE", None)


async def test_end_outlasts_that_the_version_is_unloaded_and_removed(world: World) -> None:
    await end(world)
    done(await world.order("POST", "/models/cifar10/unload?version=2"))
    canary = await canary_of(world)
    assert (canary["state"], canary["version"]) == ("ENDED", 2)
    assert "requests failed" in canary["reason"]


async def test_end_that_was_not_written_outlasts_other_orders_and_one_that_fails(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    file = world.lifecycle.store_root / ROLLOUTS_FILE
    kept = file.read_bytes()
    file.unlink()
    file.mkdir()  # stands in the way, as a full disk would
    world.puppets["cifar10:2"].behave = fail
    for _ in range(10):
        assert await ask(world) == 1
    await until(lambda: "end of canary not written" in caplog.messages)
    answer = await world.order("PUT", "/models/cifar10/canary", CANARY | ALL)
    assert_problem(answer, 507, "store_not_written", ROLLOUTS_FILE)
    file.rmdir()
    file.write_bytes(kept)
    assert (await world.order("POST", "/reload")).status_code == 200
    done(await world.order("PUT", "/models/cifar10/shadow", {"target": "2", "share": 0.5}))
    assert read_rollouts(world.lifecycle.store_root)["cifar10"].ended == ()
    canary = await canary_of(world)
    assert (canary["state"], canary["version"]) == ("ENDED", 2)
    assert "requests failed" in canary["reason"]
    assert await ask(world) == 1

    world.puppets["cifar10:2"].behave = world.puppets["cifar10:1"].behave
    done(await world.order("PUT", "/models/cifar10/canary", CANARY | ALL))
    assert await ask(world) == 2, "set again, it begins anew"


async def test_version_that_was_rolled_back_from_is_canary_no_longer(world: World) -> None:
    done(await world.order("PUT", "/models/cifar10/labels/stable", {"version": 2}))
    assert await ask(world) == 2
    done(await world.order("POST", "/models/cifar10/rollback"))
    assert {await ask(world) for _ in range(10)} == {1}
    canary = await canary_of(world)
    assert (canary["state"], canary["reason"]) == ("ENDED", "it was rolled back from")


async def test_canary_that_cannot_be_written_pins_nothing(tmp_path: Path) -> None:
    add_version(tmp_path, version=1)
    add_version(tmp_path, version=2)
    (tmp_path / ROLLOUTS_FILE).mkdir()
    async with serving(tmp_path, **SETTINGS) as world:
        answer = await world.order("PUT", "/models/cifar10/canary", {"target": "1", "share": 1})
        assert_problem(answer, 507, "store_not_written", ROLLOUTS_FILE)
        (model,) = (await world.client.get("/v1/models")).json()["models"]
        assert not model["is_pinned"]
        assert read_labels(tmp_path) == {}


async def test_pin_that_cannot_be_written_sets_no_canary(tmp_path: Path) -> None:
    add_version(tmp_path, version=1)
    add_version(tmp_path, version=2)
    (tmp_path / "labels.json").mkdir()
    async with serving(tmp_path, **SETTINGS) as world:
        answer = await world.order("PUT", "/models/cifar10/canary", {"target": "1", "share": 1})
        assert_problem(answer, 507, "store_not_written", "labels.json")
        assert read_rollouts(tmp_path) == {}
        assert await ask(world) == 2


async def test_servers_that_share_a_store_share_a_canary_and_its_end(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(serving_canary(tmp_path, ALL))
        second = await stack.enter_async_context(serving(tmp_path, **SETTINGS))
        assert await ask(second) == 2
        await end(first)
        assert (await second.order("POST", "/reload")).status_code == 200
        assert await ask(second) == 1
        assert (await canary_of(second))["state"] == "ENDED"
        done(await second.order("DELETE", "/models/cifar10/canary"))
        assert (await first.order("POST", "/reload")).status_code == 200
        assert (await canary_of(first))["state"] == "OFF"


async def test_reading_the_status_changes_nothing(world: World) -> None:
    for _ in range(3):
        await canary_of(world)
    share = {"model": "cifar10", "version": "2"}
    assert world.count("canary_share_ratio", **share) == 0
    await ask(world)
    assert world.count("canary_share_ratio", **share) == 1
