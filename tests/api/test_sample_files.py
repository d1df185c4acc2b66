"""Files of samples that come, change, break and vanish while the service runs."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.artifacts.layout import SAMPLES as OWN_FILE
from app.artifacts.samples import Samples
from app.types import ImageArray, ServableState
from tests.api.samples_world import (
    SAMPLES,
    carried,
    labelled,
    put,
    serving_samples,
    unlabelled,
)
from tests.api.world import World, add_version, assert_problem, serving, until

pytestmark = pytest.mark.timeout(60)

QUICKLY: dict[str, Any] = {"store_poll_interval_s": 0.05, "keep_warm_s": 0}
PATHS = [("GET", ""), ("GET", "/0/image"), ("GET", "/0/real"), ("POST", "/0/predict")]
EVERY_ROUTE = pytest.mark.parametrize(("method", "path"), PATHS)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving_samples(tmp_path) as world:
        yield world


def reads(caplog: pytest.LogCaptureFixture, message: str = "samples read") -> int:
    return caplog.messages.count(message)


async def pixels(world: World, index: int = 0) -> ImageArray:
    response = await world.client.get(f"{SAMPLES}/{index}/image")
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


# ---- none, or not yet -------------------------------------------------------------------------


@EVERY_ROUTE
async def test_without_samples_every_route_says_how_to_get_them(
    world: World, tmp_path: Path, method: str, path: str
) -> None:
    response = await world.client.request(method, SAMPLES + path)
    assert_problem(
        response, 404, "samples_unavailable", "cifar10", "version 1", "make samples",
        "keraserve-train samples cifar10 --data", str(tmp_path / "samples" / "cifar10.npz"),
        "KERASERVE_SAMPLES_DIR",
    )  # fmt: skip
    assert (await world.classify()).status_code == 200


async def test_samples_that_are_made_while_the_service_runs_are_there_at_once(
    world: World, tmp_path: Path
) -> None:
    assert (await world.client.get(SAMPLES)).status_code == 404
    put(tmp_path, labelled(5))
    assert (await world.client.get(SAMPLES)).json()["count"] == 5
    assert (await world.client.post(f"{SAMPLES}/4/predict")).status_code == 200


async def test_nothing_is_read_and_no_thread_begins_before_somebody_asks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.samples")
    before = {thread.name for thread in threading.enumerate()}
    async with serving_samples(tmp_path, labelled(7)) as world:
        assert (await world.classify()).status_code == 200
        assert (await world.client.get("/v1/models/cifar10")).status_code == 200
        names = {thread.name for thread in threading.enumerate()} - before
        assert not any(name.startswith("samples") for name in names)
        assert reads(caplog) == 0
        assert (await world.client.get(SAMPLES)).status_code == 200
        names = {thread.name for thread in threading.enumerate()} - before
        assert any(name.startswith("samples") for name in names)
    assert reads(caplog) == 1


# ---- read once, and again when it changes -----------------------------------------------------


async def test_many_who_ask_at_once_share_one_reading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.samples")
    async with serving_samples(tmp_path, labelled(7)) as world:
        answers = await asyncio.gather(
            *(
                world.client.request(method, f"{SAMPLES}{path.replace('0', str(number % 7))}")
                for number in range(20)
                for method, path in PATHS
            )
        )
    assert {answer.status_code for answer in answers} == {200}
    assert reads(caplog) == 1


async def test_file_that_is_replaced_is_read_anew_and_its_images_are_no_longer_the_old_ones(
    tmp_path: Path,
) -> None:
    old, new = labelled(7), labelled(5, seed=1)
    async with serving_samples(tmp_path, old) as world:
        first = await world.client.get(f"{SAMPLES}/0/image")
        np.testing.assert_array_equal(await pixels(world), old.images[0])
        put(tmp_path, new)
        kept = {"If-None-Match": first.headers["etag"]}
        second = await world.client.get(f"{SAMPLES}/0/image", headers=kept)
        assert second.status_code == 200
        assert second.headers["etag"] != first.headers["etag"]
        np.testing.assert_array_equal(await pixels(world), new.images[0])
        assert_problem(
            await world.client.get(f"{SAMPLES}/6/real"), 404, "sample_not_found", "0 to 4"
        )


async def test_file_that_is_replaced_under_load_never_gives_half_of_each(tmp_path: Path) -> None:
    sets = {count: labelled(count, seed=count) for count in (5, 6, 7)}
    is_over = False
    seen: set[int] = set()

    async def ask(world: World) -> None:
        while not is_over:
            listed = await world.client.get(SAMPLES)
            assert listed.status_code == 200
            seen.add(listed.json()["count"])
            image = await world.client.get(f"{SAMPLES}/4/image")
            found = np.asarray(Image.open(io.BytesIO(image.content)))
            assert any(np.array_equal(found, samples.images[4]) for samples in sets.values())
            answer = await world.client.post(f"{SAMPLES}/4/predict")
            assert (answer.status_code, answer.json()["actual"]["class_id"]) == (200, 1)

    async with serving_samples(tmp_path, sets[5]) as world, asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(ask(world))
        for count in (6, 7, 5, 6, 7):
            seen.clear()
            await asyncio.to_thread(put, tmp_path, sets[count])
            await until(lambda count=count: count in seen)  # type: ignore[misc]
        is_over = True


async def test_file_that_vanishes_is_missed_and_one_that_comes_back_is_found(
    tmp_path: Path,
) -> None:
    async with serving_samples(tmp_path, labelled(7)) as world:
        assert (await world.client.get(SAMPLES)).status_code == 200
        (tmp_path / "samples" / "cifar10.npz").unlink()
        assert_problem(await world.client.get(SAMPLES), 404, "samples_unavailable", "make samples")
        put(tmp_path, labelled(3))
        assert (await world.client.get(SAMPLES)).json()["count"] == 3


# ---- broken -----------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def garble(path: Path) -> None:
    path.write_bytes(b"not an archive at all")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def nameless(path: Path) -> None:
    samples = labelled(3)
    with path.open("wb") as file:
        np.savez(file, images=samples.images, labels=samples.labels)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            images=np.zeros((10_001, 1, 1, 1), np.uint8),
            labels=np.zeros(10_001, np.int64),
            classes=np.array(["cat", "dog", "frog"]),
        )


@pytest.mark.parametrize(
    ("spoil", "detail"),
    [
        (cut, "cannot be read"),
        (garble, "cannot be read"),
        (empty, "cannot be read"),
        (pipe, "no regular file"),
        (folder, "no regular file"),
        (nameless, "must hold images, labels and classes"),
        (huge, "10001 images, the limit is 10000"),
    ],
)
async def test_damaged_file_is_named_and_logged_once_and_hurts_nothing_else(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
    detail: str,
) -> None:
    spoil(put(tmp_path, labelled(7)))
    async with serving_samples(tmp_path) as world:
        for method, path in PATHS:
            response = await world.client.request(method, SAMPLES + path)
            assert_problem(
                response, 404, "samples_unavailable", "cifar10.npz", detail, "make samples",
                "KERASERVE_SAMPLES_DIR",
            )  # fmt: skip
        assert reads(caplog, "samples not read") == 1
        assert (await world.classify()).status_code == 200
        assert (await world.client.get("/readyz")).status_code == 200

        place = tmp_path / "samples" / "cifar10.npz"
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        put(tmp_path, labelled(3))
        assert (await world.client.get(SAMPLES)).json()["count"] == 3


@EVERY_ROUTE
@pytest.mark.parametrize(
    ("classes", "detail"),
    [
        (("cat", "dog"), "they are 2, the model has 3"),
        (("cat", "frog", "dog"), "class 1 is 'frog', the model calls it 'dog'"),
        (("cat", "dog", "bird"), "class 2 is 'bird', the model calls it 'frog'"),
    ],
    ids=["fewer", "another order", "another name"],
)
async def test_samples_of_other_classes_are_refused_and_the_difference_is_named(
    tmp_path: Path, method: str, path: str, classes: tuple[str, ...], detail: str
) -> None:
    async with serving_samples(tmp_path, labelled(6, classes=classes)) as world:
        response = await world.client.request(method, SAMPLES + path)
        assert_problem(response, 404, "samples_unavailable", "cifar10:1", detail)


@pytest.mark.parametrize("spoil", [cut, garble])
async def test_version_whose_samples_are_damaged_later_says_so_and_classifies_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    version = add_version(tmp_path / "store", samples=carried(4))
    put(tmp_path, labelled(7))
    settings: dict[str, Any] = {"samples_dir": tmp_path / "samples", "store_watch": "off"}
    async with serving(tmp_path / "store", **settings) as world:
        whole = (version / OWN_FILE).read_bytes()
        spoil(version / OWN_FILE)
        for method, path in PATHS:
            response = await world.client.request(method, SAMPLES + path)
            assert_problem(response, 404, "samples_unavailable", "cifar10:1", "not what the mani")
        assert reads(caplog, "samples not read") == 1
        assert (await world.classify()).status_code == 200
        (version / OWN_FILE).write_bytes(whole)
        assert (await world.client.get(SAMPLES)).json()["count"] == 4


# ---- versions that come and go ----------------------------------------------------------------


def states(world: World) -> dict[int, ServableState]:
    (model,) = world.lifecycle.statuses()
    return {version.version: version.state for version in model.versions}


async def publish(world: World, folder: Path, version: int, samples: Samples) -> None:
    """Put a version into the store by one rename, and wait until it has taken over."""
    made = add_version(folder / "aside", version=version, samples=samples)
    made.rename(folder / "store" / "cifar10" / str(version))
    await until(lambda: states(world).get(version - 1) is ServableState.END)


async def test_new_version_brings_its_own_samples_and_no_cache_outlives_the_swap(
    tmp_path: Path,
) -> None:
    first, second = carried(4, seed=1), carried(6, seed=2)
    add_version(tmp_path / "store", samples=first)
    put(tmp_path, labelled(7))
    settings: dict[str, Any] = {"samples_dir": tmp_path / "samples", **QUICKLY}
    async with serving(tmp_path / "store", **settings) as world:
        image = await world.client.get(f"{SAMPLES}/0/image")
        assert "max-age" not in image.headers["cache-control"]
        await publish(world, tmp_path, 2, second)
        assert (await world.client.get(SAMPLES)).json()["count"] == 6
        kept = {"If-None-Match": image.headers["etag"]}
        again = await world.client.get(f"{SAMPLES}/0/image", headers=kept)
        assert again.status_code == 200
        np.testing.assert_array_equal(await pixels(world), second.images[0])

        await publish(world, tmp_path, 3, unlabelled())
        assert (await world.client.get(SAMPLES)).json()["count"] == 7, "those of the folder"


async def test_samples_of_a_version_outlast_its_folder_once_they_were_asked_for(
    tmp_path: Path,
) -> None:
    own = carried(4, seed=1)
    add_version(tmp_path / "store", samples=own)
    async with serving(tmp_path / "store", samples_dir=tmp_path / "none", **QUICKLY) as world:
        assert (await world.client.get(SAMPLES)).json()["count"] == 4
        shutil.rmtree(tmp_path / "store")
        assert (await world.client.get(SAMPLES)).json()["count"] == 4
        np.testing.assert_array_equal(await pixels(world, 3), own.images[3])
