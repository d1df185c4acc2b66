"""One image in, ranked labels out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.api.world import CLASSES, World, add_version, assert_problem, picture, serving
from tests.factories.images import encode, noise, noise_image
from tests.fakes import scores_of

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


def timing_header(response: httpx.Response) -> dict[str, float]:
    stages = re.findall(r"(\w+);dur=([\d.]+)", response.headers["server-timing"])
    return {name: float(duration) for name, duration in stages}


async def test_answer_has_exactly_the_fields_of_the_contract(world: World) -> None:
    response = await world.classify()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["request_id", "model", "version", "predictions", "image", "timing"]
    assert answer["request_id"] == response.headers["x-request-id"]
    assert (answer["model"], answer["version"]) == ("cifar10", 1)
    assert answer["image"] == {"format": "PNG", "width": 4, "height": 4, "mode": "RGB"}
    stages = ["decode_ms", "queue_ms", "execute_ms", "total_ms", "batch_size"]
    assert list(answer["timing"]) == stages
    assert answer["timing"]["batch_size"] == 1


async def test_scores_are_those_of_the_network_best_first_and_sum_to_1(world: World) -> None:
    predictions = (await world.classify(picture(seed=3))).json()["predictions"]
    expected = scores_of(noise(4, 4, seed=3)[np.newaxis], len(CLASSES))[0]
    scores = [entry["score"] for entry in predictions]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-6)
    for entry in predictions:
        assert entry["label"] == CLASSES[entry["class_id"]]
        assert entry["score"] == float(expected[entry["class_id"]])  # not rounded


@pytest.mark.parametrize("format_name", FORMATS)
async def test_each_format_is_taken_as_body_and_as_part(world: World, format_name: str) -> None:
    content = picture(format_name=format_name)
    headers = {"Content-Type": f"image/{format_name.lower()}"}
    as_body = await world.client.post("/v1/classify", content=content, headers=headers)
    as_part = await world.client.post("/v1/classify", files={"file": ("picture", content)})
    assert as_body.status_code == as_part.status_code == 200
    assert as_body.json()["image"]["format"] == as_part.json()["image"]["format"] == format_name
    assert as_body.json()["predictions"] == as_part.json()["predictions"]


@pytest.mark.parametrize(
    "content_type",
    [
        "image/jpeg",
        "image/x-icon",
        "Application/Octet-Stream",
        "application/x-www-form-urlencoded",  # what `curl --data-binary` says
        None,
    ],
)
async def test_content_decides_the_format_not_the_header(
    world: World, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = await world.client.post("/v1/classify", content=picture(), headers=headers)
    assert response.status_code == 200
    assert response.json()["image"]["format"] == "PNG"


async def test_part_without_file_name_is_taken(world: World) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + picture() + b"\r\n--b--"
    headers = {"Content-Type": 'multipart/form-data; boundary="b"'}
    response = await world.client.post("/v1/classify", content=body, headers=headers)
    assert response.status_code == 200


async def test_one_pixel_is_an_image(world: World) -> None:
    response = await world.classify(encode(noise_image(1, 1), "PNG"))
    assert response.status_code == 200
    assert response.json()["image"] == {"format": "PNG", "width": 1, "height": 1, "mode": "RGB"}


@pytest.mark.parametrize("top_k", [1, 2, 3])
async def test_top_k_best_labels_are_given(world: World, top_k: int) -> None:
    every = (await world.classify()).json()["predictions"]
    assert (await world.classify(top_k=top_k)).json()["predictions"] == every[:top_k]


async def test_default_of_top_k_is_no_error_for_a_network_with_fewer_classes(world: World) -> None:
    assert len((await world.classify()).json()["predictions"]) == len(CLASSES) < 5


async def test_server_timing_gives_the_durations_of_the_answer(world: World) -> None:
    response = await world.classify()
    timing = response.json()["timing"]
    stages = timing_header(response)
    assert list(stages) == ["decode", "queue", "execute", "total"]
    for name, duration_ms in stages.items():
        assert duration_ms == timing[f"{name}_ms"] == round(duration_ms, 3)
    assert stages["total"] >= stages["decode"] + stages["queue"] + stages["execute"] - 0.003


async def test_model_version_and_label_choose_who_answers(tmp_path: Path) -> None:
    for name, version in (("cifar10", 1), ("cifar10", 2), ("digits", 1)):
        add_version(tmp_path, name, version)
    async with serving(tmp_path, models="cifar10:1,cifar10:2,digits:1") as world:

        async def answering(**query: Any) -> tuple[str, int]:
            answer = (await world.classify(**query)).json()
            return answer["model"], answer["version"]

        assert await answering() == ("cifar10", 2)
        assert await answering(version=1) == ("cifar10", 1)
        assert await answering(model="cifar10", label="stable") == ("cifar10", 2)
        assert await answering(model="digits") == ("digits", 1)


async def test_bulk_priority_is_taken(world: World) -> None:
    assert (await world.classify(priority="bulk")).status_code == 200


@pytest.mark.parametrize(
    ("query", "status", "code", "detail"),
    [
        ({"topk": 3}, 422, "invalid_request", ("'topk'", "top_k", "priority")),
        ({"top_k": 4}, 422, "invalid_request", ("top_k is 4", "3 classes")),
        ({"top_k": 0}, 422, "invalid_request", ("top_k is '0'",)),
        ({"top_k": "many"}, 422, "invalid_request", ("top_k is 'many'",)),
        (
            dict.fromkeys(map(str, range(64)), ""),
            422,
            "invalid_request",
            ("no query parameter '0'",),
        ),
        (
            dict.fromkeys(map(str, range(65)), ""),
            422,
            "invalid_request",
            ("65 query parameters", "64"),
        ),
        ({"top_k": ["1", "2"]}, 422, "invalid_request", ("'top_k'", "more than once")),
        ({"priority": "high"}, 422, "invalid_request", ("'high'", "interactive", "bulk")),
        ({"timeout_ms": 0}, 422, "invalid_request", ("timeout_ms is '0'",)),
        ({"timeout_ms": "nan"}, 422, "invalid_request", ("timeout_ms",)),
        (
            {"timeout_ms": 10_001},
            422,
            "invalid_request",
            ("timeout_ms is 10001", "10000", "KERASERVE_REQUEST_TIMEOUT_MS"),
        ),
        ({"version": 1, "label": "stable"}, 400, "malformed_request", ("version 1", "'stable'")),
        ({"version": "one"}, 422, "invalid_request", ("version is 'one'",)),
        ({"model": "cifar"}, 404, "model_not_found", ("'cifar'", "cifar10")),
        ({"version": 7}, 404, "version_not_found", ("version 7",)),
        ({"label": "beta"}, 404, "label_not_found", ("'beta'",)),
    ],
)
@pytest.mark.parametrize("path", ["/v1/classify", "/v1/classify/batch"])
async def test_wrong_parameter_is_refused_with_its_value_and_what_is_allowed(
    world: World,
    path: str,
    query: dict[str, str | int | list[str]],
    status: int,
    code: str,
    detail: tuple[str, ...],
) -> None:
    response = await world.client.post(path, params=query, files={"file": picture()})
    assert_problem(response, status, code, *detail)


async def test_parameters_are_checked_before_the_body_is_read(world: World) -> None:
    response = await world.classify(b"no image", model="cifar")
    assert_problem(response, 404, "model_not_found")
