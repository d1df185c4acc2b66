"""Labelled samples of a model: what there is, what it looks like, what it is."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.api.samples_world import SAMPLES, carried, labelled, put, serving_samples, unlabelled
from tests.api.world import CLASSES, World, add_version, assert_problem, serving

SET = labelled(7)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving_samples(tmp_path, SET) as world:
        yield world


def entry(index: int) -> dict[str, Any]:
    return {"index": index, "label": CLASSES[index % 3], "class_id": index % 3}


# ---- the list ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "count", "indices"),
    [
        pytest.param({}, 7, range(7), id="all"),
        pytest.param({"limit": 3}, 7, range(3), id="the first ones"),
        pytest.param({"limit": 3, "offset": 2}, 7, range(2, 5), id="from the middle"),
        pytest.param({"limit": 1000, "offset": 6}, 7, [6], id="the end"),
        pytest.param({"offset": 7}, 7, [], id="behind the end"),
        pytest.param({"label": "cat"}, 3, [0, 3, 6], id="of a class, by their own indices"),
        pytest.param({"label": "cat", "offset": 1, "limit": 1}, 3, [3], id="a page of a class"),
        pytest.param({"label": "frog", "offset": 9}, 2, [], id="behind the end of a class"),
    ],
)
async def test_list_has_the_page_that_is_asked_for(
    world: World, query: dict[str, Any], count: int, indices: list[int]
) -> None:
    response = await world.client.get(SAMPLES, params=query)
    assert response.status_code == 200
    assert response.json() == {"count": count, "samples": [entry(index) for index in indices]}


async def test_list_has_a_hundred_where_nothing_is_said(tmp_path: Path) -> None:
    async with serving_samples(tmp_path, labelled(101)) as world:
        answer = (await world.client.get(SAMPLES)).json()
    assert (answer["count"], len(answer["samples"])) == (101, 100)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"label": "catt"}, ["'catt'", "cifar10", "cat, dog, frog"]),
        ({"label": ""}, ["''", "cat, dog, frog"]),
        ({"label": "x" * 5000}, ["'xxx"]),
        ({"limit": 0}, ["limit", "'0'", "1"]),
        ({"limit": 1001}, ["limit", "'1001'", "1000"]),
        ({"offset": -1}, ["offset", "'-1'", "0"]),
        ({"offset": "one"}, ["offset", "'one'"]),
        ({"class": "cat"}, ["'class'", "limit, offset, label"]),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_list_says_which_parameter_is_wrong(
    world: World, query: dict[str, Any], detail: list[str]
) -> None:
    response = await world.client.get(SAMPLES, params=query)
    problem = assert_problem(response, 422, "invalid_request", *detail)
    assert len(problem["detail"]) < 300


async def test_unknown_label_of_a_model_with_many_classes_is_answered_with_a_few(
    tmp_path: Path,
) -> None:
    classes = tuple(f"class {number}" for number in range(1000))
    async with serving_samples(tmp_path, labelled(3, classes=classes), classes=classes) as world:
        response = await world.client.get(SAMPLES, params={"label": "class"})
    problem = assert_problem(response, 422, "invalid_request", "class 0, class 1,", "980 more")
    assert len(problem["detail"]) < 400


# ---- one of them ------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "RGB"])
async def test_image_is_a_png_with_the_pixels_of_the_sample(tmp_path: Path, channels: int) -> None:
    samples = labelled(3, channels=channels, size=5)
    async with serving_samples(tmp_path, samples) as world:
        response = await world.client.get(f"{SAMPLES}/2/image")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    image = Image.open(io.BytesIO(response.content))
    assert (image.format, image.mode) == ("PNG", "RGB" if channels == 3 else "L")
    np.testing.assert_array_equal(np.asarray(image).reshape(5, 5, channels), samples.images[2])


async def test_real_is_the_class_that_the_data_set_gives(world: World) -> None:
    for index in range(7):
        response = await world.client.get(f"{SAMPLES}/{index}/real")
        assert (response.status_code, response.json()) == (200, entry(index))


@pytest.mark.parametrize("index", ["7", "-1", "10000", str(10**40)])
@pytest.mark.parametrize(
    ("method", "what"), [("GET", "image"), ("GET", "real"), ("POST", "predict")]
)
async def test_index_outside_of_the_samples_is_not_found(
    world: World, method: str, what: str, index: str
) -> None:
    response = await world.client.request(method, f"{SAMPLES}/{index}/{what}")
    assert_problem(response, 404, "sample_not_found", "cifar10", index, "0 to 6")


@pytest.mark.parametrize("index", ["one", "1.5", "0x1", "9" * 5000])
@pytest.mark.parametrize(
    ("method", "what"), [("GET", "image"), ("GET", "real"), ("POST", "predict")]
)
async def test_index_that_is_no_number_is_refused(
    world: World, method: str, what: str, index: str
) -> None:
    response = await world.client.request(method, f"{SAMPLES}/{index}/{what}")
    assert_problem(response, 422, "invalid_request", "index", index[:20])


# ---- caching ----------------------------------------------------------------------------------


async def test_image_that_the_client_has_is_not_sent_again(world: World) -> None:
    first = await world.client.get(f"{SAMPLES}/1/image")
    assert first.headers["cache-control"] == "private, no-cache"
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await world.client.get(f"{SAMPLES}/1/image", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "private, no-cache"
    other = await world.client.get(f"{SAMPLES}/2/image", headers={"If-None-Match": tag})
    assert other.status_code == 200
    assert other.headers["etag"] != tag
    assert world.count(
        "requests_total", route=f"{SAMPLES.replace('cifar10', '{name}')}/{{index}}/image",
        method="GET", code="304",
    ) == 4  # fmt: skip


async def test_head_of_an_image_is_that_of_the_image(world: World) -> None:
    image = await world.client.get(f"{SAMPLES}/1/image")
    head = await world.client.head(f"{SAMPLES}/1/image")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type", "cache-control"):
        assert head.headers[name] == image.headers[name]


# ---- whose samples ----------------------------------------------------------------------------


async def test_samples_that_the_version_carries_go_before_those_of_the_folder(
    tmp_path: Path,
) -> None:
    put(tmp_path, SET)
    own = carried(4, seed=5)
    add_version(tmp_path / "store", samples=own)
    async with serving(tmp_path / "store", samples_dir=tmp_path / "samples") as world:
        answer = (await world.client.get(SAMPLES)).json()
        image = await world.client.get(f"{SAMPLES}/3/image")
    assert answer == {"count": 4, "samples": [entry(index) for index in range(4)]}
    np.testing.assert_array_equal(Image.open(io.BytesIO(image.content)), own.images[3])


async def test_each_model_has_its_own_samples(tmp_path: Path) -> None:
    flowers = ("daisy", "rose")
    add_version(tmp_path / "store", "flowers", classes=flowers, samples=unlabelled(flowers))
    put(tmp_path, labelled(2, classes=flowers), "flowers")
    add_version(tmp_path / "store", samples=carried(4))
    async with serving(tmp_path / "store", samples_dir=tmp_path / "samples") as world:
        mine = (await world.client.get(SAMPLES)).json()
        theirs = (await world.client.get("/v1/models/flowers/samples")).json()
    assert [sample["label"] for sample in theirs["samples"]] == ["daisy", "rose"]
    assert (mine["count"], theirs["count"]) == (4, 2)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/0/image"),
        ("GET", "/0/real"),
        ("POST", "/0/predict"),
    ],
)
async def test_unknown_model_and_other_methods_are_refused(
    world: World, method: str, path: str
) -> None:
    response = await world.client.request(method, f"/v1/models/cifar/samples{path}")
    assert_problem(response, 404, "model_not_found", "'cifar'", "cifar10")
    response = await world.client.delete(f"{SAMPLES}{path}")
    assert_problem(response, 405, "method_not_allowed", method)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/0/image"), ("GET", "/0/real"), ("POST", "/0/predict")],
)
async def test_model_without_a_version_that_answers_is_not_ready(
    tmp_path: Path, method: str, path: str
) -> None:
    (add_version(tmp_path / "store") / "model.keras").write_bytes(b"damaged")
    async with serving(tmp_path / "store") as world:
        response = await world.client.request(method, SAMPLES + path)
    assert_problem(response, 503, "not_ready", "cifar10")
