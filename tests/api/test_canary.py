"""Another version answers a share of the requests that name none."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.registry.rollout_file import read_rollouts
from app.types import ImageArray, ScoreArray
from tests.api.orders import SETTINGS, done
from tests.api.world import World, add_version, assert_problem, picture, serving, until

pytestmark = pytest.mark.timeout(60)

CANARY = {"target": "2", "share": 0.5, "min_requests": 10}
KEYS = [f"user-{number}" for number in range(200)]


@asynccontextmanager
async def serving_canary(
    store: Path, plan: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[World]:
    """``cifar10:1`` serves; version 2 is its canary."""
    add_version(store, version=1)
    async with serving(store, **(SETTINGS | settings)) as world:
        done(await world.order("PUT", "/models/cifar10/labels/stable", {"version": 1}))
        add_version(store, version=2)
        done(await world.order("PUT", "/models/cifar10/canary", CANARY | (plan or {})))
        yield world


async def canary_of(world: World) -> dict[str, Any]:
    (model,) = (await world.client.get("/v1/models")).json()["models"]
    assert isinstance(model["canary"], dict)
    return model["canary"]


async def ask(world: World, key: str | None = None, **query: Any) -> int:
    headers = {"Content-Type": "image/png"} | ({} if key is None else {"X-Sticky-Key": key})
    answer = await world.client.post(
        "/v1/classify", content=picture(), headers=headers, params=query or None
    )
    assert answer.status_code == 200, answer.text
    version: int = answer.json()["version"]
    return version


def fail(images: ImageArray) -> ScoreArray:
    raise RuntimeError("a network that fails")


async def test_share_of_the_callers_gets_the_canary_again_and_again(tmp_path: Path) -> None:
    async with serving_canary(tmp_path) as world:
        first = {key: await ask(world, key) for key in KEYS}
        again = {key: await ask(world, key) for key in KEYS[:50]}
        counts = Counter(first.values())
        assert set(counts) == {1, 2}
        assert 60 < counts[2] < 140, "a half of them, by chance"
        assert all(first[key] == version for key, version in again.items())
        canary = await canary_of(world)
        assert (canary["state"], canary["version"], canary["share"]) == ("ACTIVE", 2, 0.5)
        assert canary["requests"] == world.count(
            "canary_requests_total", model="cifar10", version="2", outcome="ok"
        )
        assert canary["p95_ms"] > 0
        assert canary["stable_p95_ms"] > 0


async def test_without_a_key_the_request_id_decides(tmp_path: Path) -> None:
    async with serving_canary(tmp_path) as world:
        assert {await ask(world) for _ in range(50)} == {1, 2}


async def test_header_of_the_key_is_a_setting(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, sticky_header="X-User") as world:
        for key in KEYS[:5]:
            answers = [
                await world.client.post(
                    "/v1/classify",
                    content=picture(),
                    headers={"Content-Type": "image/png", "x-user": key},
                )
                for _ in range(10)
            ]
            assert len({answer.json()["version"] for answer in answers}) == 1


async def test_requests_that_name_a_version_or_a_label_get_it(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world:
        assert await ask(world) == 2
        assert await ask(world, version=1) == 1
        assert await ask(world, label="stable") == 1


async def test_several_images_of_one_request_go_to_one_version(tmp_path: Path) -> None:
    async with serving_canary(tmp_path) as world:
        files = [(f"{n}.png", picture(n)) for n in range(3)]
        versions = {(await world.classify_batch(files)).json()["version"] for _ in range(40)}
        assert versions == {1, 2}


async def test_stable_version_answers_where_the_canary_fails_and_then_all(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world:
        world.puppets["cifar10:2"].behave = fail
        assert [await ask(world) for _ in range(30)] == [1] * 30, "nobody noticed"
        canary = await canary_of(world)
        assert canary["state"] == "ENDED"
        assert "10 of 10 requests failed" in canary["reason"]
        count = world.count
        assert count("canary_requests_total", model="cifar10", version="2", outcome="error") == 10
        assert count("canary_ends_total", model="cifar10", version="2", cause="error_rate") == 1
        assert count("canary_share_ratio", model="cifar10", version="2") == 0


async def test_stable_version_answers_several_images_where_the_canary_fails(
    tmp_path: Path,
) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world:
        world.puppets["cifar10:2"].behave = fail
        answer = (await world.classify_batch([("a.png", picture()), ("b.png", b"none")])).json()
        assert (answer["version"], answer["succeeded"], answer["failed"]) == (1, 1, 1)
        assert answer["results"][1]["error"]["code"] == "unsupported_format"


async def test_faults_of_callers_are_not_held_against_a_canary(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world:
        for _ in range(20):
            assert_problem(await world.classify(b"no image"), 415, "unsupported_format")
        assert (await canary_of(world))["state"] == "ACTIVE"


async def test_end_is_kept_over_a_restart_until_it_is_set_again(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world:
        world.puppets["cifar10:2"].behave = fail
        for _ in range(10):
            await ask(world)
        await until(lambda: read_rollouts(tmp_path)["cifar10"].ended is not None)
    async with serving(tmp_path, **SETTINGS) as again:
        canary = await canary_of(again)
        assert (canary["state"], canary["version"]) == ("ENDED", 2)
        assert "requests failed" in canary["reason"]
        assert await ask(again) == 1
        done(await again.order("PUT", "/models/cifar10/canary", CANARY | {"share": 1}))
        assert await ask(again) == 2


async def test_end_that_cannot_be_written_holds_all_the_same(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world:
        (tmp_path / "rollouts.json").unlink()
        (tmp_path / "rollouts.json").mkdir()
        world.puppets["cifar10:2"].behave = fail
        for _ in range(10):
            await ask(world)
        assert (await world.order("POST", "/reload")).status_code == 200
        assert (await canary_of(world))["state"] == "ENDED"
        assert await ask(world) == 1


async def test_version_that_is_promoted_is_canary_no_longer(tmp_path: Path) -> None:
    async with serving_canary(tmp_path) as world:
        done(await world.order("PUT", "/models/cifar10/labels/stable", {"version": 2}))
        assert {await ask(world) for _ in range(20)} == {2}
        canary = await canary_of(world)
        assert canary["state"] == "WAITING"
        assert "2 is no version that serves beside" in canary["reason"]


async def test_latest_is_whatever_is_newer_and_each_begins_anew(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"target": "latest", "share": 1}) as world:
        world.puppets["cifar10:2"].behave = fail
        for _ in range(10):
            assert await ask(world) == 1
        assert (await canary_of(world))["state"] == "ENDED"
        add_version(tmp_path, version=3)
        await world.order("POST", "/reload")
        assert await ask(world) == 3
        canary = await canary_of(world)
        assert (canary["state"], canary["version"]) == ("ACTIVE", 3)


async def test_setting_a_canary_pins_the_version_that_is_stable(tmp_path: Path) -> None:
    add_version(tmp_path, version=1)
    add_version(tmp_path, version=2)
    async with serving(tmp_path, **SETTINGS) as world:
        model = done(
            await world.order("PUT", "/models/cifar10/canary", {"target": "1", "share": 1})
        )
        assert (model["default_version"], model["is_pinned"]) == (2, True)
        assert await ask(world) == 1
        add_version(tmp_path, version=3)
        model = (await world.order("POST", "/reload")).json()["models"][0]
        assert model["default_version"] == 2


async def test_canary_of_the_settings_waits_for_a_stable_version_to_be_named(
    tmp_path: Path,
) -> None:
    add_version(tmp_path, version=1)
    add_version(tmp_path, version=2)
    settings = SETTINGS | {"canary": "cifar10:1=1", "canary_min_requests": 7}
    async with serving(tmp_path, **settings) as world:
        canary = await canary_of(world)
        assert canary["state"] == "WAITING"
        assert "set the label stable" in canary["reason"]
        assert canary["min_requests"] == 7
        assert await ask(world) == 2
        done(await world.order("PUT", "/models/cifar10/labels/stable", {"version": 2}))
        assert await ask(world) == 1
        done(await world.order("DELETE", "/models/cifar10/canary"))
        assert (await canary_of(world))["state"] == "OFF"
        assert await ask(world) == 2


async def test_thresholds_that_are_left_out_are_those_of_the_settings(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, canary_max_error_rate=0.25) as world:
        canary = await canary_of(world)
        assert (canary["max_error_rate"], canary["min_requests"]) == (0.25, 10)


async def test_request_that_a_canary_took_is_answered_where_it_is_unloaded_meanwhile(
    tmp_path: Path,
) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world:
        puppet = world.puppets["cifar10:2"]
        before = len(puppet.executed)
        puppet.hold()
        asked = world.begin()
        await puppet.began(before + 1)
        done(await world.order("POST", "/models/cifar10/unload?version=2"))
        puppet.let_go()
        assert (await asked).json()["version"] == 2
        assert await ask(world) == 1
