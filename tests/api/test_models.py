"""What is served, and what it is."""

from __future__ import annotations

import json
from pathlib import Path

from app.artifacts.layout import MANIFEST
from tests.api.call import Call
from tests.api.world import World, add_version, assert_problem, build, serving

VERSION_KEYS = [
    "version", "state",
        "since", "reason", "architecture", "parameters", "classes", "input", "metrics",
    "created_at", "engine", "precision", "device",
]  # fmt: skip


async def test_models_are_listed_with_the_fields_of_the_contract(world: World) -> None:
    answer = (await world.client.get("/v1/models")).json()
    assert list(answer) == ["default", "models"]
    assert answer["default"] == "cifar10"
    (model,) = answer["models"]
    fixed = ["name", "default_version", "labels", "versions"]
    assert list(model) == [*fixed, "is_pinned", "canary", "shadow"]
    assert (model["name"], model["default_version"]) == ("cifar10", 1)
    assert model["labels"] == {"stable": 1}
    (version,) = model["versions"]
    assert list(version) == VERSION_KEYS
    assert (version["version"], version["state"], version["reason"]) == (1, "AVAILABLE", None)
    assert (version["architecture"], version["parameters"]) == ("tiny", 42)
    assert version["classes"] == ["cat", "dog", "frog"]
    assert {"height": 4, "width": 4, "channels": 3}.items() <= version["input"].items()
    assert version["metrics"] == {"accuracy": 0.9}
    assert version["created_at"] == "2026-01-02T03:04:05Z"
    assert version["engine"] == "puppet"
    assert (version["precision"], version["device"]) == ("float32", "none")


async def test_one_model_has_the_status_of_tensorflow_serving_beside_it(world: World) -> None:
    listed = (await world.client.get("/v1/models")).json()["models"][0]
    model = (await world.client.get("/v1/models/cifar10")).json()
    assert model.pop("model_version_status") == [
        {
            "version": "1",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
    ]
    assert model == listed


async def test_one_version_has_its_whole_manifest(tmp_path: Path) -> None:
    folder = add_version(tmp_path)
    async with serving(tmp_path) as world:
        version = (await world.client.get("/v1/models/cifar10/versions/1")).json()
        listed = (await world.client.get("/v1/models")).json()["models"][0]["versions"][0]
    published = json.loads((folder / MANIFEST).read_text())
    assert version.pop("manifest").items() >= published.items()
    assert version.pop("model") == "cifar10"
    assert version == listed


async def test_version_that_failed_is_shown_with_its_reason_and_without_a_manifest(
    tmp_path: Path,
) -> None:
    add_version(tmp_path, "cifar10", 1)
    (add_version(tmp_path, "cifar10", 2) / MANIFEST).unlink()
    async with serving(tmp_path) as world:
        model = (await world.client.get("/v1/models/cifar10")).json()
        response = await world.client.get("/v1/models/cifar10/versions/2")
        assert (await world.classify()).json()["version"] == 1
    assert model["default_version"] == 1
    assert [version["state"] for version in model["versions"]] == ["FAILED", "AVAILABLE"]
    failed = model["versions"][0]
    assert "manifest.json is missing" in failed["reason"]
    assert failed["classes"] is None
    status = model["model_version_status"][0]
    assert (status["version"], status["state"]) == ("2", "END")
    assert status["status"]["error_code"] != "OK"
    assert status["status"]["error_message"] == failed["reason"]
    assert response.status_code == 200
    assert response.json()["manifest"] is None


async def test_unknown_model_and_version_are_named_with_what_there_is(world: World) -> None:
    response = await world.client.get("/v1/models/cifar")
    assert_problem(response, 404, "model_not_found", "'cifar'", "cifar10")
    response = await world.client.get("/v1/models/cifar/versions/1")
    assert_problem(response, 404, "model_not_found", "'cifar'", "cifar10")
    response = await world.client.get("/v1/models/cifar10/versions/7")
    assert_problem(response, 404, "version_not_found", "version 7", "it has: 1")


async def test_nothing_is_listed_before_the_store_was_looked_at(tmp_path: Path) -> None:
    app, _ = build(tmp_path)
    call = Call(app, "/v1/models", method="GET")
    await call.end()
    assert call.document == {"default": "cifar10", "models": []}
