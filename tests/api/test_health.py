"""Alive and ready, apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.types import ImageArray, ScoreArray
from tests.api.call import Call
from tests.api.world import World, add_version, build, serving

READINESS = ("/readyz", "/healthz", "/health", "/ping")


@pytest.mark.parametrize("path", READINESS)
async def test_ready_service_says_so(world: World, path: str) -> None:
    response = await world.client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ready"})
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", READINESS)
async def test_unready_service_says_why(tmp_path: Path, path: str) -> None:
    folder = add_version(tmp_path)
    (folder / "model.keras").write_bytes(b"altered")
    async with serving(tmp_path) as world:
        response = await world.client.get(path)
    assert response.status_code == 503
    assert response.json()["status"] == "unready"
    (reason,) = response.json()["reasons"]
    assert reason.startswith("cifar10: ")
    assert "model.keras" in reason


async def test_service_without_a_model_is_alive_and_not_ready(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()  # a folder, but no version in it
    async with serving(tmp_path) as world:
        response = await world.client.get("/livez")
        assert (response.status_code, response.json()) == (200, {"status": "alive"})
        response = await world.client.get("/readyz")
        assert response.status_code == 503
        assert "KERASERVE_MODEL_DIR" in response.json()["reasons"][0]


async def test_service_is_alive_and_not_ready_before_it_has_loaded(tmp_path: Path) -> None:
    app, _ = build(tmp_path)
    for path, status in (("/livez", 200), ("/readyz", 503), ("/metrics", 200)):
        call = Call(app, path, method="GET")
        await call.end()
        assert call.status == status


async def test_stopping_service_is_alive_and_not_ready(world: World) -> None:
    world.lifecycle.begin_drain()
    assert (await world.client.get("/livez")).status_code == 200
    response = await world.client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"status": "unready", "reasons": ["draining"]}


async def test_service_whose_device_fails_is_not_ready(world: World) -> None:
    works = world.puppet.behave
    assert (await world.classify()).status_code == 200

    def fail(images: ImageArray) -> ScoreArray:
        raise RuntimeError("device lost")

    world.puppet.behave = fail
    assert (await world.classify()).status_code == 500
    response = await world.client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["reasons"][0].startswith("cifar10:1: ")
    world.puppet.behave = works
    assert (await world.classify()).status_code == 200
    assert (await world.client.get("/readyz")).status_code == 200


async def test_open_inference_health_is_that_of_kserve(world: World) -> None:
    live = await world.client.get("/v2/health/live")
    assert (live.status_code, live.json()) == (200, {"live": True})
    ready = await world.client.get("/v2/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"ready": True})
    world.lifecycle.begin_drain()
    ready = await world.client.get("/v2/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"ready": False})


@pytest.mark.parametrize("path", ["/livez", *READINESS, "/metrics", "/docs"])
async def test_head_is_answered_as_get_without_the_body(world: World, path: str) -> None:
    response = await world.client.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0
