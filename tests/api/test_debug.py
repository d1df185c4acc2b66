"""``GET /v1/debug/requests``: requests on both ways, over real connections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.doorway import ROUTE, Doorway, message
from tests.api.world import World, assert_problem, picture, serving

PATH = "/v1/debug/requests"
SOON_MS = 50


async def ask(world: World) -> dict[str, Any]:
    response = await world.client.get(PATH, headers={"Host": "localhost"})
    assert response.status_code == 200, response.text
    return dict(response.json())


async def classify(door: Doorway, *headers: str, query: str = "", body: bytes = b"") -> int:
    line = await door.connect()
    line.send(message(body or picture(), *headers, query=query))
    return (await line.answer()).status


async def test_answered_request_is_shown_with_every_stage(
    door: Doorway, way: tuple[str, ...]
) -> None:
    assert await classify(door, *way) == 200
    assert bool(door.begun) is bool(way)

    document = await ask(door.world)

    (entry,) = document["slowest"]
    assert document["failed"] == []
    assert document["window_s"] == 300
    wanted = {"request_id": "mine", "route": ROUTE, "method": "POST", "status": 200, "error": None}
    assert wanted.items() <= entry.items()
    assert (entry["model"], entry["version"]) == ("cifar10", 1)
    assert (entry["companions"], entry["queue_position"]) == (0, 1)
    stages = [entry[f"{stage}_ms"] for stage in ("decode", "queue", "execute", "rest")]
    assert all(stage >= 0 for stage in stages)
    assert sum(stages) == pytest.approx(entry["total_ms"], abs=0.01)
    assert entry["started_at"].endswith("Z")


async def test_request_that_waited_too_long_is_shown_with_its_place_and_what_it_did(
    door: Doorway, way: tuple[str, ...]
) -> None:
    staying = await door.world.occupy()
    assert await classify(door, *way, query=f"timeout_ms={SOON_MS}") == 504

    (entry,) = (await ask(door.world))["failed"]

    assert (entry["status"], entry["error"]) == (504, "deadline_exceeded")
    assert (entry["model"], entry["version"]) == ("cifar10", 1)
    assert entry["queue_position"] == 1
    assert entry["decode_ms"] >= 0
    assert 0 < entry["queue_ms"] <= entry["total_ms"]
    assert entry["execute_ms"] is None
    assert entry["companions"] is None
    door.world.puppet.let_go()
    for task in staying:
        await task


async def test_request_that_the_network_fails_on_is_shown_with_its_execution(
    door: Doorway, way: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(images: object) -> None:
        raise RuntimeError("secret cause")

    monkeypatch.setattr(door.world.puppet, "execute", fail)
    assert await classify(door, *way) == 500

    (entry,) = (await ask(door.world))["failed"]

    assert (entry["status"], entry["error"]) == (500, "execution_failed")
    assert entry["execute_ms"] >= 0
    assert entry["queue_ms"] >= 0
    assert "secret" not in json.dumps(entry)


async def test_client_that_left_is_shown_with_how_long_it_waited(door: Doorway) -> None:
    staying = await door.world.occupy()
    line = await door.connect()
    await door.send_queued(line, message(picture()))
    line.leave()
    await door.is_left()

    (entry,) = (await ask(door.world))["failed"]

    assert (entry["status"], entry["error"], entry["queue_position"]) == (499, None, 1)
    assert entry["queue_ms"] > 0
    door.world.puppet.let_go()
    for task in staying:
        await task


async def test_companions_and_places_of_one_batch_are_counted(tmp_path: Path) -> None:
    async with serving(tmp_path) as world:
        answer = await world.classify_batch([(f"{n}.png", picture(n)) for n in range(3)])
        assert answer.status_code == 200
        (entry,) = (await ask(world))["slowest"]

    assert (entry["route"], entry["companions"]) == ("/v1/classify/batch", 2)
    assert entry["queue_position"] == 3


async def test_image_that_was_known_from_before_has_no_companions_and_no_place(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, cache_bytes=1_000_000, debug_slowest_requests=2) as world:
        for _ in range(2):
            assert (await world.classify()).status_code == 200
        entries = (await ask(world))["slowest"]

    assert {entry["companions"] for entry in entries} == {0, None}
    assert [entry["queue_position"] for entry in entries] == [None, None]


async def test_nothing_of_what_was_sent_is_kept(door: Doorway, way: tuple[str, ...]) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="my-secret.png"\r\n\r\n'
    for content in (picture(), b"no picture"):
        line = await door.connect()
        line.send(
            message(
                head + content + b"\r\n--b--\r\n",
                "Authorization: Bearer ks_secret",
                *way,
                query="top_k=2",
                content_type="multipart/form-data; boundary=b",
            )
        )
        await line.answer()

    document = await ask(door.world)

    assert [entry["status"] for entry in document["slowest"]] == [200]
    assert [entry["status"] for entry in document["failed"]] == [415]
    text = json.dumps(document)
    for part in ("secret", "png", "PNG", "top_k", "filename"):
        assert part not in text


async def test_probes_scanners_and_refusals_push_nothing_out(
    door: Doorway, way: tuple[str, ...]
) -> None:
    """The queue has room for two, both taken by those who are not answered."""
    world = door.world
    staying = await world.occupy()
    first = await door.connect()
    await door.send_queued(first, message(picture()))
    second = await door.connect()
    await door.send_queued(second, message(picture()))
    for _ in range(5):
        assert await classify(door, *way) == 429
    for path in ("/nothing", "/wp-login.php"):
        assert (await world.client.get(path)).status_code == 404
    world.lifecycle.begin_drain()
    assert (await world.client.get("/readyz")).status_code == 503

    assert (await ask(world))["failed"] == []
    world.puppet.let_go()
    for task in staying:
        await task


async def test_from_elsewhere_nothing_is_shown(world: World) -> None:
    response: httpx.Response = await world.client.get(PATH)
    assert_problem(response, 403, "forbidden", "admin")
    # The refusal itself is one of the failed.
    (entry,) = (await ask(world))["failed"]
    assert (entry["status"], entry["route"]) == (403, PATH)
