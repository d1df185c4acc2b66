"""How much each caller may ask, on every way that a request can take."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from app.access.addresses import parse_networks
from app.access.allowance import LimitPolicy
from app.access.caller import Scope
from app.access.keys_file import create_key
from app.access.proxies import TrustedProxies
from tests.api.doorway import ROUTE, Answer, Doorway, assert_over, message
from tests.api.limited_world import (
    TWO,
    TWO_AT_A_TIME,
    ask,
    assert_limited,
    limited,
)
from tests.api.world import picture

pytestmark = pytest.mark.timeout(30)


# ---- rates --------------------------------------------------------------------------------------


async def test_rate_holds_on_both_ways_and_answers_tell_what_is_left(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with limited(tmp_path, TWO) as found:
        line = await found.door.connect()
        for left, reset_s in ((1, 2), (0, 2)):
            answer = await ask(line, message(picture(), *way))
            assert answer.status == 200
            assert answer.header("ratelimit-policy") == '"address";q=2;w=4'
            assert answer.header("ratelimit") == f'"address";r={left};t={reset_s}'
            assert answer.header("ratelimit-limit") == "2"
            assert answer.header("ratelimit-remaining") == str(left)
            assert answer.header("ratelimit-reset") == str(reset_s)
        refused = await ask(line, message(picture(), *way))
        assert_limited(refused, "This address", "KERASERVE_ADDRESS_RATE_PER_S")
        assert refused.header("retry-after") == refused.header("ratelimit-reset") == "2"
        assert refused.header("ratelimit") == '"address";r=0;t=2'
        found.clock.advance(2)
        assert (await ask(line, message(picture(), *way))).status == 200
        assert_over(found.world)
        counted = found.world.count("limited_requests_total", subject="address", limit="rate")
        assert counted == 1


async def test_request_that_goes_from_one_way_to_the_other_is_counted_once(tmp_path: Path) -> None:
    async with limited(tmp_path, TWO, TWO_AT_A_TIME) as found:
        line = await found.door.connect()
        # Begun on the express lane, which leaves what is no image to the route.
        answer = await ask(line, message(b"no image"))
        assert (answer.status, found.door.begun) == (415, [ROUTE])
        assert answer.header("ratelimit-remaining") == "1"
        assert answer.names.count("ratelimit") == 1
        assert_over(found.world)


@pytest.mark.parametrize("path", [ROUTE, f"{ROUTE}/batch"])
async def test_refused_upload_is_answered_before_its_body_is_sent(
    tmp_path: Path, way: tuple[str, ...], path: str
) -> None:
    async with limited(tmp_path, LimitPolicy(1, 1)) as found:
        lines = [await found.door.connect() for _ in range(3)]
        assert (await ask(lines[0], message(picture(), *way))).status == 200
        for line in lines:
            head, _, _ = message(picture(), *way).partition(b"\r\n\r\n")
            line.send(head.replace(ROUTE.encode(), path.encode()) + b"\r\n\r\n")
            assert_limited(await line.answer())
        # After the first one the gate refuses, but not pages of other origins.
        assert found.door.begun == ([ROUTE, path, path, path] if way else [path])


async def test_while_refusals_follow_one_another_nothing_is_begun_for_them(tmp_path: Path) -> None:
    async with limited(tmp_path, TWO) as found:
        line = await found.door.connect()
        for _ in range(2):
            assert (await ask(line, message(picture()))).status == 200
        answers = [await ask(line, message(picture(), f"X-Request-Id: {n}")) for n in range(4)]
        for answer in answers:
            assert_limited(answer)
            assert answer.document["request_id"] == answer.header("x-request-id")
        assert answers[0].names == answers[1].names
        assert found.door.begun == [ROUTE]
        assert found.world.count("limited_requests_total", subject="address", limit="rate") == 4
        assert found.world.count("in_flight_requests") == 0


async def test_gate_counts_whom_it_lets_pass_once(tmp_path: Path) -> None:
    async with limited(tmp_path, TWO) as found:
        line = await found.door.connect()
        for _ in range(3):
            last = await ask(line, message(picture()))
        assert_limited(last)
        found.clock.advance(4)
        for left in (1, 0):
            answer = await ask(line, message(picture()))
            assert (answer.status, answer.header("ratelimit-remaining")) == (200, str(left))


async def test_full_queue_is_told_to_each_with_the_rate_of_their_own(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    headers = [f"Authorization: Bearer {create_key(keys, name, [Scope.INFER])}" for name in "ab"]
    async with limited(tmp_path, keys=LimitPolicy(1, 9), api_keys_file=keys) as found:
        world = found.world
        world.puppet.hold()
        lines = [await found.door.connect() for _ in range(5)]
        before = len(world.puppet.executed)
        await found.door.send_queued(lines[0], message(picture(), headers[0]))
        await world.puppet.began(before + 1)
        for line in lines[1:4]:  # one lies ready, two wait
            await found.door.send_queued(line, message(picture(), headers[0]))
        refused = [await ask(lines[4], message(picture(), headers[n])) for n in (0, 1, 1, 0)]
        assert [each.document["code"] for each in refused] == ["queue_full"] * 4
        assert [each.header("ratelimit-remaining") for each in refused] == ["4", "8", "7", "3"]
        world.puppet.let_go()
        for line in lines[:4]:
            assert (await line.answer()).status == 200
        assert_over(world)


async def test_every_route_that_takes_a_key_counts_and_the_others_do_not(tmp_path: Path) -> None:
    async with limited(tmp_path, TWO) as found:
        client = found.world.client
        for path in ("/livez", "/readyz", "/docs", "/openapi.json", "/", "/playground/main.js"):
            for _ in range(3):
                answer = await client.get(path)
                assert answer.status_code == 200
                assert "ratelimit" not in answer.headers
        assert (await client.head("/v1/models")).headers["ratelimit-remaining"] == "1"
        assert (await client.get("/v1/models/none")).headers["ratelimit-remaining"] == "0"
        for method, path in (
            ("GET", "/v1/models"), ("GET", "/metrics"), ("POST", "/v1/admin/reload"),
            ("POST", ROUTE), ("POST", f"{ROUTE}/batch"), ("GET", "/v1/models/cifar10/samples"),
        ):  # fmt: skip
            refused = await client.request(method, path, headers={"Host": "localhost"})
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited"), path
        assert (await client.get("/nowhere")).status_code == 404


async def test_batch_is_one_request(tmp_path: Path) -> None:
    async with limited(tmp_path, TWO, max_images_per_request=2) as found:
        files = [("a.png", picture(1)), ("b.png", picture(2))]
        for status in (200, 200, 429):
            assert (await found.world.classify_batch(files)).status_code == status


# ---- keys and addresses -------------------------------------------------------------------------


async def test_each_key_has_a_rate_of_its_own(tmp_path: Path, way: tuple[str, ...]) -> None:
    path = tmp_path / "keys.json"
    keys = {name: create_key(path, name, [Scope.INFER]) for name in ("mine", "yours")}
    async with limited(tmp_path, keys=TWO, api_keys_file=path) as found:
        line = await found.door.connect()

        async def ask_as(name: str) -> Answer:
            key = f"Authorization: Bearer {keys[name]}"
            return await ask(line, message(picture(), key, *way))

        assert [(await ask_as("mine")).status for _ in range(2)] == [200, 200]
        assert_limited(await ask_as("mine"), "key mine", "KERASERVE_KEY_RATE_PER_S")
        assert [(await ask_as("yours")).status for _ in range(2)] == [200, 200]
        assert_limited(await ask_as("yours"), "key yours")
        assert found.world.count("limited_requests_total", subject="key", limit="rate") == 2


async def test_guessing_keys_is_limited_by_address(tmp_path: Path, way: tuple[str, ...]) -> None:
    path = tmp_path / "keys.json"
    key = create_key(path, "mine", [Scope.INFER])
    async with limited(tmp_path, TWO, api_keys_file=path) as found:
        line = await found.door.connect()
        for guess in ("ks_1", "ks_2"):
            answer = await ask(line, message(picture(), f"Authorization: Bearer {guess}", *way))
            assert (answer.status, answer.document["code"]) == (401, "unauthenticated")
        right = message(picture(), f"Authorization: Bearer {key}", *way)
        assert_limited(await ask(line, right))


async def test_clients_of_a_trusted_proxy_are_told_apart_and_others_cannot_lie(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    async with limited(tmp_path, LimitPolicy(1, 1)) as found:
        line = await found.door.connect()

        async def ask_from(address: str) -> int:
            header = f"X-Forwarded-For: 6.6.6.6, {address}"
            return (await ask(line, message(picture(), header, *way))).status

        assert [await ask_from(f"203.0.113.{n}") for n in range(3)] == [200, 429, 429]
        found.world.lifecycle.proxies = TrustedProxies(parse_networks(("127.0.0.1",)))
        assert [await ask_from(f"203.0.113.{n}") for n in range(3)] == [200, 200, 200]
        assert await ask_from("203.0.113.0") == 429
        assert [await ask_from(f"2001:db8::{n}") for n in range(1, 3)] == [200, 429]


# ---- off, and what is written -------------------------------------------------------------------


async def test_without_limits_nothing_is_counted_and_no_header_is_sent(
    door: Doorway, way: tuple[str, ...]
) -> None:
    assert door.world.lifecycle.limits is None
    line = await door.connect()
    answer = await ask(line, message(picture(), *way))
    assert not [name for name in answer.names if name.startswith("ratelimit")]


async def test_log_names_the_key_and_no_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, way: tuple[str, ...]
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "keys.json"
    key = f"Authorization: Bearer {create_key(path, 'mine', [Scope.INFER])}"
    async with limited(tmp_path, TWO, LimitPolicy(1, 1), api_keys_file=path) as found:
        line = await found.door.connect()
        for status in (200, 429, 429):
            assert (await ask(line, message(picture(), key, *way))).status == status
    lines = [vars(each) for each in caplog.records if each.message == "request"]
    assert [(each["status"], each["by"]) for each in lines] == [(200, "mine"), (429, "mine")]
    assert not any("127.0.0.1" in str(each) for each in lines)
