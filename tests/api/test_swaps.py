"""New versions while requests come in."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.registry.labels import set_label
from app.types import ServableState
from tests.api.world import World, add_version, picture, serving, until
from tests.factories.versions import Defect, make_version

pytestmark = pytest.mark.timeout(60)

QUICKLY = {"store_poll_interval_s": 0.05, "keep_warm_s": 0}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "store").mkdir()
    async with serving(tmp_path / "store", **QUICKLY) as world:
        yield world


def store_of(world: World) -> Path:
    return world.lifecycle.store_root


def publish(world: World, version: int) -> None:
    """Make a version elsewhere, and put it into the store by one rename, as publishing does."""
    aside = store_of(world).parent / "aside"
    add_version(aside, version=version).rename(store_of(world) / "cifar10" / str(version))


def states(world: World) -> dict[int, ServableState]:
    (model,) = world.lifecycle.statuses()
    return {version.version: version.state for version in model.versions}


def has_failed(world: World, version: int) -> bool:
    return states(world).get(version) is ServableState.FAILED


async def test_published_version_takes_over_and_the_old_one_ends(world: World) -> None:
    publish(world, 2)

    await until(lambda: states(world).get(1) is ServableState.END)

    answer = await world.classify()
    assert answer.json()["version"] == 2


async def test_previous_version_is_kept_for_a_while_and_answers_at_once_after_going_back(
    tmp_path: Path,
) -> None:
    (tmp_path / "store").mkdir()
    async with serving(tmp_path / "store", **(QUICKLY | {"keep_warm_s": 3600})) as world:
        old = world.lifecycle.director.choose(None, None, None, key="").live
        publish(world, 2)
        await until(lambda: states(world).get(2) is ServableState.AVAILABLE)
        publish(world, 3)
        await until(lambda: states(world).get(1) is ServableState.END)

        assert old.batcher.is_closed, "only the one before is kept"
        assert states(world) == {
            3: ServableState.AVAILABLE,
            2: ServableState.AVAILABLE,
            1: ServableState.END,
        }
        kept = world.lifecycle.director.choose(None, 2, None, key="").live
        set_label(store_of(world), "cifar10", "stable", 2)
        await until(lambda: world.lifecycle.director.choose(None, None, None, key="").live is kept)
        assert (await world.classify()).json()["version"] == 2


async def test_models_tell_who_serves_since_when_and_why_another_does_not(world: World) -> None:
    make_version(store_of(world), version=2, defect=Defect.WRONG_SHA256)
    publish(world, 3)
    await until(lambda: states(world).get(1) is ServableState.END)
    make_version(store_of(world), version=4, defect=Defect.NO_MANIFEST)
    await until(lambda: states(world).get(4) is ServableState.FAILED)

    (model,) = (await world.client.get("/v1/models")).json()["models"]

    assert (model["default_version"], model["labels"]) == (3, {"stable": 3})
    found = {version["version"]: version for version in model["versions"]}
    assert {number: entry["state"] for number, entry in found.items()} == {
        4: "FAILED",
        3: "AVAILABLE",
        1: "END",
    }
    assert "manifest.json" in found[4]["reason"]
    since = {number: datetime.fromisoformat(entry["since"]) for number, entry in found.items()}
    assert since[3] <= since[1] <= since[4]
    assert world.count("model_state", model="cifar10", version="4", state="FAILED") == 1


async def test_request_that_was_promised_a_version_gets_its_answer_from_it(world: World) -> None:
    rest = asyncio.Event()
    content = picture()

    async def slowly() -> AsyncIterator[bytes]:
        yield content[:20]
        await rest.wait()
        yield content[20:]

    headers = {"Content-Type": "image/png"}
    old = world.lifecycle.director.choose(None, None, None, key="").live
    request = asyncio.create_task(
        world.client.post("/v1/classify", content=slowly(), headers=headers)
    )
    await until(lambda: old.leases.held == 1)

    publish(world, 2)
    await until(lambda: states(world).get(1) is ServableState.DRAINING)
    assert (await world.classify()).json()["version"] == 2
    rest.set()
    answer = await request

    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    await until(lambda: states(world)[1] is ServableState.END)


async def test_versions_come_and_go_under_load_and_no_request_notices(world: World) -> None:
    seen: set[int] = set()
    failures: list[httpx.Response] = []
    is_over = False

    async def client() -> None:
        while not is_over:
            answer = await world.classify()
            if answer.status_code == 200:
                seen.add(answer.json()["version"])
            else:
                failures.append(answer)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(client())
        for older, version in ((1, 2), (2, 4), (4, 6)):
            publish(world, version)
            shutil.rmtree(store_of(world) / "cifar10" / str(older))
            await until(partial(seen.__contains__, version))
            make_version(store_of(world), version=version + 1, defect=Defect.WRONG_SIZE)
            await until(partial(has_failed, world, version + 1))
        is_over = True

    assert failures == []
    assert seen == {1, 2, 4, 6}
