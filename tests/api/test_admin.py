"""Orders of administrators: what they change, what they refuse, and what they tell."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.registry.labels import LABELS_FILE
from app.registry.rollout_file import ROLLOUTS_FILE
from tests.api.call import Call
from tests.api.orders import (
    SETTINGS,
    begun,
    done,
    serving_versions,
    states,
    version_that_answers,
)
from tests.api.world import World, add_version, assert_problem, serving, until
from tests.factories.versions import Defect, make_version

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """``cifar10`` with three versions, of which the third one serves."""
    async with serving_versions(tmp_path, 3) as world:
        yield world


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


async def test_model_of_which_nothing_can_serve_is_a_conflict(tmp_path: Path) -> None:
    make_version(tmp_path, version=1, defect=Defect.WRONG_SIZE)
    async with serving(tmp_path, **SETTINGS) as world:
        answer = await world.order("POST", "/models/cifar10/load")
        assert_problem(answer, 409, "conflict", "cifar10", "FAILED")


@pytest.mark.parametrize("name", ["none", "CIFAR10", "%00", "..", "%2e%2e", "a%2Fb", "."])
async def test_what_is_no_model_is_not_found_and_leaves_nothing_behind(
    world: World, name: str
) -> None:
    (world.lifecycle.store_root / "CIFAR10" / "1").mkdir(parents=True)
    for wait_s in (0, 60):
        answer = await world.order("POST", f"/models/{name}/load?wait_s={wait_s}")
        assert answer.status_code == 404, answer.text
        body = {"version": 1}
        answer = await world.order("PUT", f"/models/{name}/labels/b?wait_s={wait_s}", body)
        assert answer.status_code == 404, answer.text
    assert (await world.order("POST", "/reload")).status_code == 200
    models = (await world.client.get("/v1/models")).json()["models"]
    assert [model["name"] for model in models] == ["cifar10"]
    assert not (world.lifecycle.store_root / LABELS_FILE).exists()


async def test_model_that_takes_longer_than_the_wait_is_loaded_all_the_same(
    tmp_path: Path,
) -> None:
    add_version(tmp_path)
    add_version(tmp_path, "other", 4)
    settings = SETTINGS | {"models": "cifar10", "held": {"other:4"}}
    async with serving(tmp_path, **settings) as world:
        answer = await world.order("POST", "/models/other/load", wait_s=0)
        assert (answer.status_code, answer.json()["settled"]) == (202, False)
        (await begun(world, "other:4")).let_go()
        model = (await world.order("POST", "/models/other/load")).json()["models"][0]
        assert model["default_version"] == 4


async def test_orders_say_where_the_store_is_not_seen(world: World) -> None:
    store = world.lifecycle.store_root
    store.rename(store.with_name("elsewhere"))
    answer = await world.order("POST", "/reload")
    assert_problem(answer, 503, "not_ready", "the store was not seen", "KERASERVE_MODEL_DIR")
    assert await version_that_answers(world) == 3
    done(await world.order("POST", "/models/cifar10/unload"))
    assert_problem(await world.classify(), 503, "not_ready", "unloaded")
    store.with_name("elsewhere").rename(store)


async def test_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with serving_versions(tmp_path, 1, request_timeout_ms=50) as world:
        call = Call(
            world.app,
            "/v1/admin/models/cifar10/labels/b",
            method="PUT",
            headers={"host": "localhost"},
            client=("127.0.0.1", 1),
        )
        call.feed(b'{"version"', has_more=True)
        await until(lambda: bool(call.sent))
        assert (call.status, call.document["code"]) == (504, "deadline_exceeded")
        call.feed(b"")
        await call.end()
