"""Classifying a sample goes the way of every image."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.api.call import Call
from tests.api.samples_world import SAMPLES, carried, labelled, serving_samples
from tests.api.test_canary import fail, serving_canary
from tests.api.world import CLASSES, World, add_version, assert_problem, picture, until

SET = labelled(7)
PREDICT = f"{SAMPLES}/1/predict"
ROUTE = "/v1/models/{name}/samples/{index}/predict"
LABELS = {"model": "cifar10", "version": "1"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving_samples(tmp_path, SET) as world:
        yield world


async def predict(world: World, index: int = 1, **query: Any) -> httpx.Response:
    return await world.client.post(f"{SAMPLES}/{index}/predict", params=query)


async def upload(world: World, index: int = 1, **query: Any) -> httpx.Response:
    image = (await world.client.get(f"{SAMPLES}/{index}/image")).content
    return await world.classify(image, **query)


@pytest.mark.parametrize(
    ("size", "channels"),
    [(4, 3), (4, 1), (31, 3), (300, 3)],
    ids=["as the network takes it", "grey", "to be resized", "for the decode pool"],
)
async def test_answer_is_that_of_uploading_the_image_with_its_real_class(
    tmp_path: Path, size: int, channels: int
) -> None:
    samples = labelled(7, size=size, channels=channels)
    async with serving_samples(tmp_path, samples) as world:
        for index in range(7):
            response = await predict(world, index)
            answer = response.json()
            assert response.status_code == 200
            assert list(answer) == [
                "request_id", "model", "version", "predictions", "image", "timing", "actual",
                "correct",
            ]  # fmt: skip
            same = (await upload(world, index)).json()
            for name in ("model", "version", "predictions", "image"):
                assert answer[name] == same[name]
            assert answer["timing"].keys() == same["timing"].keys()
            assert answer["actual"] == {"label": CLASSES[index % 3], "class_id": index % 3}
            assert answer["request_id"] == response.headers["x-request-id"]
            assert response.headers["server-timing"].startswith("decode;dur=")


async def test_answer_is_correct_where_the_first_prediction_is_the_real_class(
    world: World,
) -> None:
    dog = np.array([0.1, 0.7, 0.2], np.float32)
    world.puppet.behave = lambda images: np.tile(dog, (len(images), 1))
    for index in range(7):
        answer = (await predict(world, index)).json()
        assert answer["predictions"][0]["label"] == "dog"
        assert answer["correct"] is (answer["actual"]["label"] == "dog") is (index % 3 == 1)


@pytest.mark.parametrize("query", [{"top_k": 1}, {"top_k": 3}, {"priority": "bulk"}])
async def test_parameters_of_classify_work(world: World, query: dict[str, Any]) -> None:
    answer = (await predict(world, **query)).json()
    assert answer["predictions"] == (await upload(world, **query)).json()["predictions"]


@pytest.mark.parametrize(
    ("query", "status", "code", "detail"),
    [
        ({"top_k": 4}, 422, "invalid_request", "3 classes"),
        ({"top_k": 0}, 422, "invalid_request", "top_k"),
        ({"timeout_ms": 10_001}, 422, "invalid_request", "KERASERVE_REQUEST_TIMEOUT_MS"),
        ({"priority": "high"}, 422, "invalid_request", "priority"),
        ({"model": "cifar10"}, 422, "invalid_request", "version, label, top_k"),
        ({"version": 7}, 404, "version_not_found", "7"),
        ({"label": "beta"}, 404, "label_not_found", "'beta'"),
        ({"version": 1, "label": "stable"}, 400, "malformed_request", "give one of them"),
    ],
    ids=str,
)
async def test_wrong_parameters_are_refused_as_by_classify(
    world: World, query: dict[str, Any], status: int, code: str, detail: str
) -> None:
    assert_problem(await predict(world, **query), status, code, detail)


async def test_another_version_classifies_the_same_sample(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"models": "cifar10:latest(2)"}
    add_version(tmp_path / "store", version=1, samples=carried(2, seed=1))
    add_version(tmp_path / "store", version=2, samples=carried(4, seed=2))
    async with serving_samples(tmp_path, **settings) as world:
        old = world.puppets["cifar10:1"]
        before = len(old.executed)
        answer = (await predict(world, 3, version=1)).json()
        assert (answer["version"], answer["actual"]["label"]) == (1, "cat")
        assert (old.executed[before][0] == carried(4, seed=2).images[3]).all()
        assert (await predict(world, 3, label="stable")).json()["version"] == 2
        assert (await predict(world, 3)).json()["version"] == 2


async def test_canary_that_fails_is_answered_for_by_the_stable_version(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}) as world:
        assert (await predict(world)).json()["version"] == 2
        world.puppets["cifar10:2"].behave = fail
        answer = await predict(world)
        assert (answer.status_code, answer.json()["version"]) == (200, 1)
        labels = {"model": "cifar10", "version": "2"}
        for outcome in ("ok", "error"):
            assert world.count("canary_requests_total", **labels, outcome=outcome) == 1


async def test_images_count_and_the_request_is_logged_as_a_classification(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request")
    answer = (await predict(world)).json()
    assert world.count("images_total", **LABELS, outcome="ok") == 1
    best = answer["predictions"][0]["label"]
    assert world.count("predictions_total", **LABELS, label=best) == 1
    assert world.decoded == 1
    assert world.count("requests_total", route=ROUTE, method="POST", code="200") == 1
    (line,) = [vars(record) for record in caplog.records if record.name == "app.request"]
    assert (line["route"], line["model"], line["version"]) == (ROUTE, "cifar10", 1)
    for name in ("batch_size", "decode_ms", "queue_ms", "execute_ms"):
        assert line[name] == answer["timing"][name]


async def test_samples_are_batched_with_uploads(world: World) -> None:
    before = len(world.puppet.executed)
    world.puppet.hold()
    first = world.begin()
    await world.puppet.began(before + 1)
    tasks: list[asyncio.Task[httpx.Response]] = [
        asyncio.create_task(predict(world, index)) for index in range(3)
    ]
    await until(lambda: world.decoded == 4)
    world.puppet.let_go()
    assert (await first).status_code == 200
    sizes = [(await task).json()["timing"]["batch_size"] for task in tasks]
    assert max(sizes) > 1


async def test_reused_results_serve_samples_too(tmp_path: Path) -> None:
    async with serving_samples(tmp_path, SET, cache_bytes=1_000_000) as world:
        assert (await upload(world)).headers["x-cache"] == "miss"
        response = await predict(world)
        assert (response.status_code, response.headers["x-cache"]) == (200, "hit")


async def test_full_queue_refuses_a_sample_as_it_refuses_an_upload(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"max_batch_size": 1, "max_queue_size": 1, "max_images_per_request": 1}
    async with serving_samples(tmp_path, SET, **limits) as world:
        accepted = [*await world.occupy(), world.begin()]
        await until(lambda: world.batcher.queue_size == 1)
        refused = await predict(world)
        assert_problem(refused, 429, "queue_full", "KERASERVE_MAX_QUEUE_SIZE")
        assert world.count("images_total", **LABELS, outcome="queue_full") == 1
        world.puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200] * 3
        assert (await predict(world)).status_code == 200


async def test_deadline_drops_a_sample_that_waits(tmp_path: Path) -> None:
    async with serving_samples(tmp_path, SET, max_batch_size=1) as world:
        before = len(world.puppet.executed)
        accepted = await world.occupy()
        assert_problem(await predict(world, timeout_ms=50), 504, "deadline_exceeded")
        world.puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200, 200]
        assert (await predict(world)).status_code == 200
        assert len(world.puppet.executed) == before + 3
        assert world.count("images_total", **LABELS, outcome="deadline") == 1


async def test_network_that_fails_on_a_sample_is_a_server_error(world: World) -> None:
    world.puppet.behave = fail
    response = await predict(world)
    assert_problem(response, 500, "execution_failed")


async def test_stopping_service_takes_no_sample(world: World) -> None:
    world.lifecycle.refuse()
    assert_problem(await predict(world), 503, "draining")


async def test_who_leaves_withdraws_their_sample(tmp_path: Path) -> None:
    async with serving_samples(tmp_path, SET, max_batch_size=1) as world:
        before = len(world.puppet.executed)
        accepted = await world.occupy()
        call = Call(world.app, PREDICT)
        call.feed(b"")
        await until(lambda: world.batcher.queue_size == 1)
        call.leave()
        await call.end()
        assert (call.sent, world.batcher.queue_size) == ([], 0)
        world.puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200, 200]
        assert len(world.puppet.executed) == before + 2
        assert world.count("images_total", **LABELS, outcome="cancelled") == 1
        assert world.count("requests_total", route=ROUTE, method="POST", code="499") == 1


async def test_body_is_not_looked_at(world: World) -> None:
    response = await world.client.post(PREDICT, content=picture(9))
    without = await predict(world)
    assert response.json()["predictions"] == without.json()["predictions"]


async def test_sample_with_more_pixels_than_the_limit_is_refused(tmp_path: Path) -> None:
    async with serving_samples(tmp_path, SET, max_image_pixels=15) as world:
        response = await predict(world)
    assert_problem(response, 413, "image_too_large", "16", "KERASERVE_MAX_IMAGE_PIXELS")
