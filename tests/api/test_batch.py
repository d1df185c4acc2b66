"""Several images in one request."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from app.types import ImageArray, ScoreArray
from tests.api.world import CLASSES, World, assert_problem, picture, serving, until
from tests.factories.images import encode, noise, noise_image
from tests.fakes import scores_of

POISON_SEED = 99


def first_scores(seed: int) -> list[float]:
    scores = scores_of(noise(4, 4, seed=seed)[np.newaxis], len(CLASSES))[0]
    return sorted(map(float, scores), reverse=True)


def break_on_poison(images: ImageArray) -> ScoreArray:
    poison = noise(4, 4, seed=POISON_SEED)
    if any(np.array_equal(image, poison) for image in images):
        raise ValueError("secret inner workings")
    return scores_of(images, len(CLASSES))


async def test_answer_has_exactly_the_fields_of_the_contract(world: World) -> None:
    response = await world.classify_batch([("a.png", picture()), ("b.txt", b"hello")])
    assert response.status_code == 200
    answer = response.json()
    assert list(answer) == ["request_id", "model", "version", "succeeded", "failed", "results"]
    assert answer["request_id"] == response.headers["x-request-id"]
    assert (answer["model"], answer["version"]) == ("cifar10", 1)
    assert (answer["succeeded"], answer["failed"]) == (1, 1)
    good, bad = answer["results"]
    assert list(good) == ["filename", "predictions", "image", "timing"]
    assert list(bad) == ["filename", "error"]
    assert bad["filename"] == "b.txt"
    assert list(bad["error"]) == ["status", "code", "detail"]
    assert (bad["error"]["status"], bad["error"]["code"]) == (415, "unsupported_format")


async def test_entries_are_in_the_order_of_the_files(world: World) -> None:
    files = [(f"{seed}.png", picture(seed)) for seed in range(20)]
    answer = (await world.classify_batch(files)).json()
    assert answer["succeeded"] == 20
    for seed, entry in enumerate(answer["results"]):
        assert entry["filename"] == f"{seed}.png"
        assert [found["score"] for found in entry["predictions"]] == first_scores(seed)


async def test_each_bad_file_has_the_error_that_it_would_have_alone(world: World) -> None:
    whole = picture()
    files = {
        "whole.png": whole,
        "truncated.png": encode(noise_image(40, 40), "PNG")[:-200],
        "empty.png": b"",
        "text.png": b"this is no image",
        "also whole.png": picture(1),
    }
    answer = (await world.classify_batch(list(files.items()))).json()
    assert (answer["succeeded"], answer["failed"]) == (2, 3)
    for name, entry in zip(files, answer["results"], strict=True):
        alone = await world.client.post("/v1/classify", files={"file": (name, files[name])})
        assert entry["filename"] == name
        if alone.status_code == 200:
            assert entry["predictions"] == alone.json()["predictions"]
        else:
            document = assert_problem(alone, entry["error"]["status"], entry["error"]["code"])
            assert entry["error"]["detail"] == document["detail"]


async def test_image_that_breaks_the_network_fails_alone_and_says_nothing_of_the_cause(
    world: World,
) -> None:
    world.puppet.behave = break_on_poison
    files = [(str(seed), picture(seed)) for seed in (1, POISON_SEED, 2)]
    response = await world.classify_batch(files)
    answer = response.json()
    assert (answer["succeeded"], answer["failed"]) == (2, 1)
    error = answer["results"][1]["error"]
    assert (error["status"], error["code"]) == (500, "execution_failed")
    assert "secret" not in response.text


async def test_file_names_come_back_as_sent(world: World) -> None:
    names = ["kätzchen 猫.png", "../../etc/passwd", 'with "quotes".png', ""]
    # httpx leaves an empty name out: this part has none at all.
    answer = (await world.classify_batch([(name, picture()) for name in names])).json()
    found = [entry["filename"] for entry in answer["results"]]
    assert found[:2] == names[:2]
    assert found[2] == "with %22quotes%22.png"  # as browsers escape it, too
    assert found[3] is None


async def test_as_many_files_as_allowed_are_taken_and_one_more_is_not(tmp_path: Path) -> None:
    async with serving(tmp_path, max_images_per_request=3) as world:
        files = [(str(seed), picture(seed)) for seed in range(4)]
        assert (await world.classify_batch(files[:3])).json()["succeeded"] == 3
        response = await world.classify_batch(files)
        assert_problem(
            response, 413, "too_many_images", "more than 3", "KERASERVE_MAX_IMAGES_PER_REQUEST"
        )


async def test_hundred_files_are_refused_and_others_go_on(world: World) -> None:
    files = [(str(number), picture()) for number in range(100)]
    response = await world.classify_batch(files)
    assert_problem(response, 413, "too_many_images", "64", "KERASERVE_MAX_IMAGES_PER_REQUEST")
    assert (await world.classify()).status_code == 200
    assert world.count("images_total", model="cifar10", version="1", outcome="ok") == 1


async def test_request_without_files_is_refused(world: World) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await world.client.post("/v1/classify/batch", content=b"--b--", headers=headers)
    assert_problem(response, 422, "invalid_request", "'files'")


async def test_part_of_the_other_route_is_named(world: World) -> None:
    response = await world.client.post("/v1/classify/batch", files={"file": picture()})
    assert_problem(response, 422, "invalid_request", "'file'", "'files'")


async def test_body_that_is_an_image_is_refused(world: World) -> None:
    response = await world.client.post(
        "/v1/classify/batch", content=picture(), headers={"Content-Type": "image/png"}
    )
    assert_problem(response, 415, "unsupported_format", "'image/png'", "multipart/form-data")


async def test_images_are_accepted_together_or_not_at_all(tmp_path: Path) -> None:
    limits = {"max_batch_size": 1, "max_queue_size": 3, "max_images_per_request": 3}
    async with serving(tmp_path, **limits) as world:
        accepted = [*await world.occupy(), world.begin()]
        await until(lambda: world.batcher.queue_size == 1)
        files = [(str(seed), picture(seed)) for seed in range(3)]
        response = await world.classify_batch(files)
        assert_problem(response, 429, "queue_full", "3", "KERASERVE_MAX_QUEUE_SIZE")
        assert world.batcher.queue_size == 1
        world.puppet.let_go()
        assert [(await task).status_code for task in accepted] == [200] * 3


async def test_timings_of_the_header_are_the_longest_of_each_stage(world: World) -> None:
    response = await world.classify_batch([(str(seed), picture(seed)) for seed in range(3)])
    timings = [entry["timing"] for entry in response.json()["results"]]
    header = response.headers["server-timing"]
    for stage in ("decode", "queue", "execute", "total"):
        assert f"{stage};dur={max(timing[f'{stage}_ms'] for timing in timings)}" in header


async def test_request_of_bad_files_only_is_answered_without_timings(world: World) -> None:
    response = await world.classify_batch([("a", b"x"), ("b", b"y")])
    assert response.status_code == 200
    assert (response.json()["succeeded"], response.json()["failed"]) == (0, 2)
    assert response.headers["server-timing"].startswith("total;dur=")


async def test_large_batch_runs_in_batches_of_the_device(tmp_path: Path) -> None:
    async with serving(tmp_path, max_batch_size=8) as world:
        world.puppet.behave = partial(scores_of, classes=len(CLASSES))
        files = [(str(seed), picture(seed)) for seed in range(30)]
        assert (await world.classify_batch(files)).json()["succeeded"] == 30
        assert max(world.puppet.batch_sizes) <= 8
