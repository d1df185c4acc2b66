"""Labels, and the way back to the version of before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.registry.labels import read_labels
from tests.api.orders import (
    SETTINGS,
    begun,
    done,
    serving_versions,
    states,
    version_that_answers,
)
from tests.api.world import World, add_version, assert_problem, serving
from tests.factories.versions import Defect, make_version

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """``cifar10`` with three versions, of which the third one serves."""
    async with serving_versions(tmp_path, 3) as world:
        yield world


async def test_label_is_set_moved_and_taken_away(world: World) -> None:
    path = "/models/cifar10/labels/canary"
    model = done(await world.order("PUT", path, {"version": 1}))
    assert model["labels"] == {"canary": 1, "stable": 3}
    assert await version_that_answers(world, label="canary") == 1
    done(await world.order("PUT", path, {"version": 1}), changed=False)
    done(await world.order("PUT", path, {"version": 2}))
    assert await version_that_answers(world, label="canary") == 2
    assert read_labels(world.lifecycle.store_root) == {"cifar10": {"canary": 2}}
    assert done(await world.order("DELETE", path))["labels"] == {"stable": 3}
    done(await world.order("DELETE", path), changed=False)
    assert_problem(await world.classify(label="canary"), 404, "label_not_found")


async def test_stable_decides_who_answers(world: World) -> None:
    model = done(await world.order("PUT", "/models/cifar10/labels/stable", {"version": 1}))
    assert (model["default_version"], model["is_pinned"]) == (1, True)
    assert await version_that_answers(world) == 1
    model = done(await world.order("DELETE", "/models/cifar10/labels/stable"))
    assert (model["default_version"], model["is_pinned"]) == (3, False)


async def test_label_of_an_unloaded_version_loads_it(world: World) -> None:
    done(await world.order("POST", "/models/cifar10/load", version=2))
    done(await world.order("POST", "/models/cifar10/unload", version=2))
    done(await world.order("PUT", "/models/cifar10/labels/canary", {"version": 2}))
    assert await version_that_answers(world, label="canary") == 2


async def test_rollback_takes_effect_before_its_answer_and_once(tmp_path: Path) -> None:
    async with serving_versions(tmp_path, 1, keep_warm_s=3600) as world:
        add_version(tmp_path, version=2)
        assert (await world.order("POST", "/reload")).json()["settled"]
        assert await version_that_answers(world) == 2
        loaded = dict(world.puppets)

        model = done(await world.order("POST", "/models/cifar10/rollback"))

        assert (model["default_version"], model["is_pinned"]) == (1, True)
        assert await version_that_answers(world) == 1
        assert world.puppets == loaded, "it was kept warm"
        done(await world.order("POST", "/models/cifar10/rollback"), changed=False)
        assert await version_that_answers(world) == 1
    async with serving(tmp_path, **SETTINGS) as again:
        assert await version_that_answers(again) == 1, "it outlasts a restart"
        answer = await again.order("POST", "/models/cifar10/rollback")
        assert_problem(answer, 409, "conflict", "before this server started")


async def test_rollback_does_not_wait_for_a_load_in_hand(tmp_path: Path) -> None:
    async with serving_versions(tmp_path, 1, keep_warm_s=3600, held={"other:1"}) as world:
        add_version(tmp_path, version=2)
        await world.order("POST", "/reload")
        add_version(tmp_path, "other")
        loading = asyncio.create_task(world.order("POST", "/reload"))
        held = await begun(world, "other:1")
        answer = await world.order("POST", "/models/cifar10/rollback", wait_s=0)
        assert answer.status_code == 202
        assert not answer.json()["settled"]
        assert await version_that_answers(world) == 1
        held.let_go()
        assert (await loading).status_code == 200


async def test_rollback_without_anything_older_is_a_conflict(tmp_path: Path) -> None:
    async with serving_versions(tmp_path, 1) as world:
        answer = await world.order("POST", "/models/cifar10/rollback")
        assert_problem(answer, 409, "conflict", "older than 1")


async def test_label_never_points_at_a_version_that_cannot_serve(tmp_path: Path) -> None:
    make_version(tmp_path, version=1, defect=Defect.WRONG_SIZE)
    add_version(tmp_path, version=2)
    async with serving(tmp_path, **SETTINGS) as world:
        for order in (
            ("POST", "/models/cifar10/rollback", None),
            ("PUT", "/models/cifar10/labels/stable", {"version": 1}),
            ("PUT", "/models/cifar10/labels/beta", {"version": 1}),
        ):
            answer = await world.order(*order)
            assert_problem(answer, 409, "conflict", "cifar10:1", "FAILED", "model.keras")
        assert read_labels(tmp_path) == {}
        assert await version_that_answers(world) == 2
        add_version(tmp_path, version=3)
        await world.order("POST", "/reload")
        assert await version_that_answers(world) == 3, "nothing was pinned"


async def test_label_is_set_once_its_version_serves(tmp_path: Path) -> None:
    path, body = "/models/cifar10/labels/stable", {"version": 1}
    async with serving_versions(tmp_path, 2, held={"cifar10:1"}) as world:
        answer = await world.order("PUT", path, body, wait_s=0)
        assert (answer.status_code, answer.json()["changed"]) == (202, False)
        assert read_labels(tmp_path) == {}
        (await begun(world, "cifar10:1")).let_go()
        assert done(await world.order("PUT", path, body))["default_version"] == 1
        done(await world.order("DELETE", path))
        await world.order("POST", "/reload")
        model = done(await world.order("POST", "/models/cifar10/load", version=2), changed=True)
        assert states(model).get(1) != "AVAILABLE", "it was loaded for its label alone"


async def test_label_of_a_model_that_is_off_is_a_conflict(world: World) -> None:
    done(await world.order("POST", "/models/cifar10/unload"))
    answer = await world.order("PUT", "/models/cifar10/labels/stable", {"version": 1})
    assert_problem(answer, 409, "conflict", "load it first")
