"""Orders of administrators: what they change, what they refuse, and what they tell."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.registry.labels import LABELS_FILE, read_labels
from app.registry.rollout_file import ROLLOUTS_FILE
from tests.api.world import World, add_version, assert_problem, serving, until
from tests.factories.versions import Defect, make_version
from tests.fakes import PuppetServable

pytestmark = pytest.mark.timeout(60)

# The store is looked at when it is asked for, and else not within a test.
SETTINGS = {"store_watch": "off", "keep_warm_s": 0}


@asynccontextmanager
async def serving_versions(store: Path, versions: int, **settings: Any) -> AsyncIterator[World]:
    for version in range(1, versions + 1):
        add_version(store, version=version)
    async with serving(store, **(SETTINGS | settings)) as world:
        yield world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """``cifar10`` with three versions, of which the third one serves."""
    async with serving_versions(tmp_path, 3) as world:
        yield world


def done(response: httpx.Response, *, changed: bool = True) -> dict[str, Any]:
    """Assert that an order was carried out; return how its model stands."""
    assert response.status_code == 200, response.text
    answer = response.json()
    assert list(answer) == ["request_id", "changed", "settled", "models"]
    assert (answer["changed"], answer["settled"]) == (changed, True)
    (model,) = answer["models"]
    assert isinstance(model, dict)
    return model


def states(model: dict[str, Any]) -> dict[int, str]:
    return {version["version"]: version["state"] for version in model["versions"]}


async def version_that_answers(world: World, **query: Any) -> int:
    answer = await world.classify(**query)
    assert answer.status_code == 200, answer.text
    version: int = answer.json()["version"]
    return version


async def test_version_is_loaded_before_the_answer(world: World) -> None:
    assert_problem(await world.classify(version=1), 404, "version_not_found")
    model = done(await world.order("POST", "/models/cifar10/load", version=1))
    assert states(model) == {3: "AVAILABLE", 1: "AVAILABLE"}
    assert await version_that_answers(world, version=1) == 1
    assert await version_that_answers(world) == 3
    done(await world.order("POST", "/models/cifar10/load", version=1), changed=False)


async def test_version_is_unloaded_and_the_next_older_one_takes_over(world: World) -> None:
    model = done(await world.order("POST", "/models/cifar10/unload", version=3))
    assert model["default_version"] == 2
    assert await version_that_answers(world) == 2
    await until(lambda: world.puppets["cifar10:3"].is_closed)
    done(await world.order("POST", "/models/cifar10/unload", version=3), changed=False)
    assert done(await world.order("POST", "/models/cifar10/load"))["default_version"] == 3


async def test_version_that_nothing_replaces_is_not_unloaded(tmp_path: Path) -> None:
    async with serving_versions(tmp_path, 1) as world:
        answer = await world.order("POST", "/models/cifar10/unload", version=1)
        assert_problem(answer, 409, "conflict", "version 1", "no other version")
        assert await version_that_answers(world) == 1


async def test_version_whose_heir_is_broken_is_not_unloaded(tmp_path: Path) -> None:
    make_version(tmp_path, version=1, defect=Defect.WRONG_SIZE)
    add_version(tmp_path, version=2)
    async with serving(tmp_path, **SETTINGS) as world:
        answer = await world.order("POST", "/models/cifar10/unload", version=2)
        assert_problem(answer, 409, "conflict", "version 2")
        done(await world.order("POST", "/models/cifar10/load"), changed=False)
        assert await version_that_answers(world) == 2


async def test_whole_model_is_unloaded_and_comes_back(world: World) -> None:
    model = done(await world.order("POST", "/models/cifar10/unload"))
    assert model["default_version"] is None
    assert_problem(await world.classify(), 503, "not_ready", "unloaded")
    assert (await world.client.get("/readyz")).status_code == 200, "nobody wants it"
    await until(lambda: world.puppets["cifar10:3"].is_closed)
    done(await world.order("POST", "/models/cifar10/load"))
    assert await version_that_answers(world) == 3


async def test_request_under_way_is_answered_by_the_version_that_is_unloaded(
    world: World,
) -> None:
    puppet = world.puppets["cifar10:3"]
    before = len(puppet.executed)
    puppet.hold()
    asked = world.begin()
    await puppet.began(before + 1)
    done(await world.order("POST", "/models/cifar10/unload", version=3))
    assert await version_that_answers(world) == 2
    puppet.let_go()
    assert (await asked).json()["version"] == 3


async def test_version_that_must_not_be_served_is_refused_with_its_reason(world: World) -> None:
    make_version(world.lifecycle.store_root, version=9, defect=Defect.WRONG_SHA256)
    answer = await world.order("POST", "/models/cifar10/load", version=9)
    assert_problem(answer, 409, "conflict", "cifar10:9", "FAILED", "model.keras")
    assert await version_that_answers(world) == 3


async def test_model_that_the_settings_leave_out_is_loaded_when_asked_for(tmp_path: Path) -> None:
    add_version(tmp_path)
    add_version(tmp_path, "other", 4)
    async with serving(tmp_path, models="cifar10", **SETTINGS) as world:
        assert_problem(await world.classify(model="other"), 404, "model_not_found")
        assert done(await world.order("POST", "/models/other/load"))["default_version"] == 4
        assert await version_that_answers(world, model="other") == 4
        assert_problem(
            await world.order("POST", "/models/none/load"), 404, "model_not_found", "none"
        )
        names = [model["name"] for model in (await world.client.get("/v1/models")).json()["models"]]
        assert names == ["cifar10", "other"]


async def test_label_is_set_moved_and_taken_away(world: World) -> None:
    path = "/models/cifar10/labels/canary"
    model = done(await world.order("PUT", path, {"version": 1}))
    assert model["labels"] == {"canary": 1, "stable": 3}
    assert await version_that_answers(world, label="canary") == 1
    done(await world.order("PUT", path, {"version": 1}), changed=False)
    done(await world.order("PUT", path, {"version": 2}))
    assert await version_that_answers(world, label="canary") == 2
    assert read_labels(world.lifecycle.store_root) == {"cifar10": {"canary": 2}}
    assert done(await world.order("DELETE", path))["labels"] == {"stable": 3}
    done(await world.order("DELETE", path), changed=False)
    assert_problem(await world.classify(label="canary"), 404, "label_not_found")


async def test_stable_decides_who_answers(world: World) -> None:
    model = done(await world.order("PUT", "/models/cifar10/labels/stable", {"version": 1}))
    assert (model["default_version"], model["is_pinned"]) == (1, True)
    assert await version_that_answers(world) == 1
    model = done(await world.order("DELETE", "/models/cifar10/labels/stable"))
    assert (model["default_version"], model["is_pinned"]) == (3, False)


async def test_label_of_an_unloaded_version_loads_it(world: World) -> None:
    done(await world.order("POST", "/models/cifar10/load", version=2))
    done(await world.order("POST", "/models/cifar10/unload", version=2))
    done(await world.order("PUT", "/models/cifar10/labels/canary", {"version": 2}))
    assert await version_that_answers(world, label="canary") == 2


async def test_rollback_takes_effect_before_its_answer_and_once(tmp_path: Path) -> None:
    async with serving_versions(tmp_path, 1, keep_warm_s=3600) as world:
        add_version(tmp_path, version=2)
        assert (await world.order("POST", "/reload")).json()["settled"]
        assert await version_that_answers(world) == 2
        loaded = dict(world.puppets)

        model = done(await world.order("POST", "/models/cifar10/rollback"))

        assert (model["default_version"], model["is_pinned"]) == (1, True)
        assert await version_that_answers(world) == 1
        assert world.puppets == loaded, "it was kept warm"
        done(await world.order("POST", "/models/cifar10/rollback"), changed=False)
        assert await version_that_answers(world) == 1
    async with serving(tmp_path, **SETTINGS) as again:
        assert await version_that_answers(again) == 1, "it outlasts a restart"
        answer = await again.order("POST", "/models/cifar10/rollback")
        assert_problem(answer, 409, "conflict", "before this server started")


async def test_rollback_does_not_wait_for_a_load_in_hand(tmp_path: Path) -> None:
    async with serving_versions(tmp_path, 1, keep_warm_s=3600, held={"other:1"}) as world:
        add_version(tmp_path, version=2)
        await world.order("POST", "/reload")
        add_version(tmp_path, "other")
        loading = asyncio.create_task(world.order("POST", "/reload"))
        held = await begun(world, "other:1")
        answer = await world.order("POST", "/models/cifar10/rollback", wait_s=0)
        assert answer.status_code == 202
        assert not answer.json()["settled"]
        assert await version_that_answers(world) == 1
        held.let_go()
        assert (await loading).status_code == 200


async def test_rollback_without_anything_older_is_a_conflict(tmp_path: Path) -> None:
    async with serving_versions(tmp_path, 1) as world:
        answer = await world.order("POST", "/models/cifar10/rollback")
        assert_problem(answer, 409, "conflict", "older than 1")


async def test_reload_finds_what_is_new_and_retries_what_failed(world: World) -> None:
    folder = make_version(world.lifecycle.store_root, version=4, defect=Defect.WRONG_SIZE)
    model = (await world.order("POST", "/reload")).json()["models"][0]
    assert states(model)[4] == "FAILED"
    assert (folder / "manifest.json").exists()
    add_version(world.lifecycle.store_root, version=5)
    model = (await world.order("POST", "/reload")).json()["models"][0]
    assert model["default_version"] == 5


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "named"),
    [
        ("POST", "/models/none/unload", None, 404, "model_not_found", "'none'"),
        ("POST", "/models/cifar10/load?version=7", None, 404, "version_not_found", "7"),
        ("POST", "/models/cifar10/unload?version=7", None, 404, "version_not_found", "7"),
        ("POST", "/models/cifar10/load?version=0", None, 422, "invalid_request", "version is '0'"),
        ("POST", "/models/cifar10/load?versoin=1", None, 422, "invalid_request", "'versoin'"),
        ("POST", "/models/cifar10/load?wait_s=601", None, 422, "invalid_request", "600"),
        ("PUT", "/models/cifar10/labels/b", {"version": 7}, 404, "version_not_found", "3, 2, 1"),
        ("PUT", "/models/none/labels/b", {"version": 1}, 404, "model_not_found", "'none'"),
        ("PUT", "/models/cifar10/labels/7", {"version": 1}, 422, "invalid_request", "'7'"),
        ("PUT", "/models/cifar10/labels/latest", {"version": 1}, 422, "invalid_request", "latest"),
        ("PUT", "/models/cifar10/labels/b", {}, 422, "invalid_request", "version"),
        ("PUT", "/models/cifar10/labels/b", {"versio": 1}, 422, "invalid_request", "version"),
        ("PUT", "/models/cifar10/labels/b", {"version": "x"}, 422, "invalid_request", "'x'"),
        ("PUT", "/models/cifar10/canary", {"target": "7", "share": 0.5}, 404,
         "version_not_found", "7"),
        ("PUT", "/models/cifar10/canary", {"target": "b", "share": 0.5}, 404,
         "label_not_found", "'b'"),
        ("PUT", "/models/cifar10/canary", {"target": "3", "share": 0.5}, 409, "conflict", "stable"),
        ("PUT", "/models/cifar10/canary", {"target": "1", "share": 2}, 422,
         "invalid_request", "share is 2"),
        ("PUT", "/models/cifar10/shadow", {"target": "1"}, 422, "invalid_request", "share"),
        ("PUT", "/models/cifar10/shadow", {"target": "b", "share": 1}, 404,
         "label_not_found", "'b'"),
        ("GET", "/models/cifar10/load", None, 405, "method_not_allowed", "POST"),
    ],
)  # fmt: skip
async def test_order_that_cannot_be_carried_out_is_refused(
    world: World,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    status: int,
    code: str,
    named: str,
) -> None:
    assert_problem(await world.order(method, path, body), status, code, named)
    assert await version_that_answers(world) == 3
    assert not (world.lifecycle.store_root / LABELS_FILE).exists()
    assert not (world.lifecycle.store_root / ROLLOUTS_FILE).exists()


async def test_body_that_is_no_json_or_much_too_large_is_refused(world: World) -> None:
    url = "/v1/admin/models/cifar10/labels/b"
    local = {"Host": "localhost"}
    answer = await world.client.put(url, content=b'{"version":', headers=local)
    assert_problem(answer, 400, "malformed_request", "JSON")
    large = json.dumps({"version": 1, "more": "x" * 70_000})
    answer = await world.client.put(url, content=large, headers=local)
    assert_problem(answer, 413, "upload_too_large", "65,536")


@pytest.mark.parametrize("file", [LABELS_FILE, ROLLOUTS_FILE])
async def test_what_cannot_be_written_has_not_happened(world: World, file: str) -> None:
    (world.lifecycle.store_root / file).mkdir()  # stands in its way, as a full disk would
    orders: dict[str, tuple[str, dict[str, Any]]] = {
        LABELS_FILE: ("/models/cifar10/labels/stable", {"version": 1}),
        ROLLOUTS_FILE: ("/models/cifar10/shadow", {"target": "1", "share": 1}),
    }
    answer = await world.order("PUT", *orders[file])
    assert_problem(answer, 507, "store_not_written", file)
    model = (await world.client.get("/v1/models")).json()["models"][0]
    assert (model["default_version"], model["is_pinned"], model["shadow"]) == (3, False, None)


async def test_every_order_is_logged_with_who_gave_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.administration.desk")
    headers = {"Host": "localhost", "X-Request-Id": "ticket-17"}
    await world.client.post("/v1/admin/models/cifar10/load?version=1", headers=headers)
    (record,) = [each for each in caplog.records if each.getMessage() == "administered"]
    told = {name: vars(record)[name] for name in ("action", "model", "version", "by", "changed")}
    assert told == {
        "action": "load", "model": "cifar10", "version": 1, "by": "local", "changed": True
    }  # fmt: skip
    assert vars(record)["request_id"] == "ticket-17"


async def test_orders_that_wait_are_told_of_the_stop(tmp_path: Path) -> None:
    async with serving_versions(tmp_path, 1, held={"other:1"}) as world:
        add_version(tmp_path, "other")
        ordered = asyncio.create_task(world.order("POST", "/reload"))
        held = await begun(world, "other:1")
        world.lifecycle.refuse()
        assert_problem(await ordered, 503, "draining")
        held.let_go()


async def begun(world: World, version: str) -> PuppetServable:
    """Wait until a version that is held has come to its self-test."""
    await until(lambda: version in world.puppets)
    await world.puppets[version].began(1)
    return world.puppets[version]
