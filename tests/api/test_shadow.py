"""Another version classifies a share of the images once more, for comparison alone."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.artifacts.manifest import ManifestInput
from app.rollout.shadow import SHADOW_TASK
from app.types import ImageArray, ScoreArray
from tests.api.orders import SETTINGS, done
from tests.api.world import CLASSES, World, add_version, picture, serving, until

pytestmark = pytest.mark.timeout(60)


def fail(images: ImageArray) -> ScoreArray:
    raise RuntimeError("a network that fails")


@asynccontextmanager
async def serving_shadow(store: Path, share: float = 1, **settings: Any) -> AsyncIterator[World]:
    add_version(store, version=1)
    add_version(store, version=2)
    async with serving(store, **(SETTINGS | settings)) as world:
        plan = {"target": "1", "share": share}
        done(await world.order("PUT", "/models/cifar10/shadow", plan))
        yield world


async def shadow_of(world: World) -> dict[str, Any]:
    (model,) = (await world.client.get("/v1/models")).json()["models"]
    assert isinstance(model["shadow"], dict)
    return model["shadow"]


def images(world: World, outcome: str) -> float:
    labels = {"model": "cifar10", "version": "1", "outcome": outcome}
    return world.count("shadow_images_total", **labels)


async def test_shadow_sees_a_share_and_is_compared(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path, 0.5) as world:
        for number in range(20):
            assert (await world.classify(picture(number))).json()["version"] == 2
        await until(lambda: images(world, "agreed") == 10)
        shadow = await shadow_of(world)
        assert (shadow["state"], shadow["version"], shadow["compared"]) == ("ACTIVE", 1, 10)
        assert (shadow["agreement"], shadow["mean_score_difference"]) == (1.0, 0.0)
        labels = {"model": "cifar10", "version": "1"}
        assert world.count("shadow_duration_seconds_count", **labels) == 10
        assert world.count("shadow_score_difference_sum", **labels) == 0


async def test_where_a_shadow_differs_the_caller_does_not_notice(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path) as world:
        usual = (await world.classify(picture(1))).json()["predictions"]
        await until(lambda: images(world, "agreed") == 1)
        world.puppets["cifar10:1"].behave = lambda images: np.tile(
            np.roll(np.array([0.8, 0.1, 0.1], np.float32), CLASSES.index(usual[-1]["label"])),
            (len(images), 1),
        )
        assert (await world.classify(picture(1))).json()["predictions"] == usual
        await until(lambda: images(world, "disagreed") == 1)
        shadow = await shadow_of(world)
        assert shadow["agreement"] == 0.5
        difference = abs(0.8 - usual[0]["score"]) / 2
        assert shadow["mean_score_difference"] == pytest.approx(difference, abs=1e-6)


async def test_where_a_shadow_fails_the_caller_does_not_notice(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path) as world:
        world.puppets["cifar10:1"].behave = fail
        assert (await world.classify()).status_code == 200
        await until(lambda: images(world, "failed") == 1)


async def test_shadow_does_not_keep_the_answer_waiting(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path) as world:
        world.puppets["cifar10:1"].hold()
        for number in range(5):
            assert (await world.classify(picture(number))).status_code == 200
        world.puppets["cifar10:1"].let_go()
        await until(lambda: images(world, "agreed") == 5)


async def test_shadow_is_skipped_while_others_wait_for_the_device(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path, max_batch_size=1) as world:
        first = await world.occupy()
        waiting = [world.begin(picture(number)) for number in range(4)]
        await until(lambda: world.batcher.queue_size == 4)
        world.puppet.release()
        await first[0]
        await until(lambda: images(world, "skipped") >= 1)
        world.puppet.let_go()
        for request in (*first, *waiting):
            await request


async def test_shadow_holds_a_bounded_number_of_images(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path) as world:
        world.puppets["cifar10:1"].hold()
        for number in range(70):
            await world.classify(picture(number))
        assert images(world, "skipped") == 6
        world.puppets["cifar10:1"].let_go()
        await until(lambda: images(world, "agreed") == 64)


async def test_shadow_sees_each_of_several_images(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path) as world:
        await world.classify_batch([("a.png", picture(1)), ("b.png", picture(2))])
        await until(lambda: images(world, "agreed") == 2)


async def test_shadow_of_another_input_decodes_for_itself(tmp_path: Path) -> None:
    add_version(tmp_path, version=1, input=ManifestInput(height=2, width=2, channels=3))
    add_version(tmp_path, version=2)
    async with serving(tmp_path, **SETTINGS) as world:
        plan = {"target": "1", "share": 1}
        done(await world.order("PUT", "/models/cifar10/shadow", plan))
        await world.classify()
        await until(lambda: images(world, "agreed") + images(world, "disagreed") == 1)
        assert world.puppets["cifar10:1"].executed[-1].shape[1:] == (2, 2, 3)


async def test_shadow_is_ended_and_outlasts_a_restart_until_then(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path):
        pass
    async with serving(tmp_path, **SETTINGS) as again:
        assert (await shadow_of(again))["state"] == "ACTIVE"
        done(await again.order("DELETE", "/models/cifar10/shadow"))
        assert (await shadow_of(again))["state"] == "OFF"
        await again.classify()
        assert not any(task.get_name() == SHADOW_TASK for task in asyncio.all_tasks())


async def test_stop_does_not_wait_for_a_shadow(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path) as world:
        shadow = world.puppets["cifar10:1"]
        before = len(shadow.executed)
        shadow.hold()
        await world.classify()
        await shadow.began(before + 1)
        await world.lifecycle.director.close(timeout_s=0)
        assert images(world, "agreed") + images(world, "failed") == 0
        assert not any(task.get_name() == SHADOW_TASK for task in asyncio.all_tasks())


async def test_plan_that_changes_leaves_the_bound_as_it_is(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path) as world:
        world.puppets["cifar10:1"].hold()
        for number in range(40):
            await world.classify(picture(number))
        plan = {"target": "1", "share": 0.999999}
        done(await world.order("PUT", "/models/cifar10/shadow", plan))
        for number in range(40):
            await world.classify(picture(number))
        assert images(world, "skipped") >= 15
        world.puppets["cifar10:1"].let_go()


async def test_shadow_is_of_low_priority_in_its_own_queue(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path, max_batch_size=1) as world:
        shadow = world.puppets["cifar10:1"]
        before = len(shadow.executed)
        shadow.hold()
        for number in range(4):  # one is executed, one lies ready, two wait
            await world.classify(picture(number))
        await shadow.began(before + 1)
        asked = asyncio.create_task(world.classify(picture(99), version=1))
        live = world.lifecycle.director.choose(None, 1, None, key="").live
        await until(lambda: live.batcher.queue_size >= 2)
        shadow.let_go()
        assert (await asked).status_code == 200
        await until(lambda: images(world, "agreed") == 4)
        pixels = [int(execution.astype(int).sum()) for execution in shadow.executed[before:]]
        assert pixels.index(sum_of(picture(99))) < len(pixels) - 1, "before a shadow's image"


async def test_answers_of_other_versions_are_not_compared(tmp_path: Path) -> None:
    add_version(tmp_path, version=3)
    async with serving_shadow(tmp_path) as world:
        done(await world.order("POST", "/models/cifar10/load?version=2"))
        assert (await world.classify(version=2)).status_code == 200
        assert (await world.classify(version=3)).status_code == 200
        await until(lambda: images(world, "agreed") == 1)


async def test_shadow_of_the_default_version_waits_and_says_why(tmp_path: Path) -> None:
    async with serving_shadow(tmp_path) as world:
        done(await world.order("PUT", "/models/cifar10/shadow", {"target": "2", "share": 1}))
        shadow = await shadow_of(world)
        assert shadow["state"] == "WAITING"
        assert "2 is no version that serves beside" in shadow["reason"]


def sum_of(content: bytes) -> int:
    with Image.open(io.BytesIO(content)) as image:
        return int(np.asarray(image.convert("RGB"), int).sum())
