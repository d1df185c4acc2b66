"""Requests that are refused before they are begun are told what all refused ones are told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from app.access.caller import Scope
from app.access.keys_file import create_key
from app.api.gate import WATCH_S, RefusalGate
from app.api.written import WrittenResponse
from tests.api.live_server import LiveServer
from tests.api.test_admission import LIMITS, fill, full_server
from tests.api.test_canary import serving_canary
from tests.api.world import PATIENCE_S, World, assert_problem, picture, serving

pytestmark = pytest.mark.timeout(60)

PATHS = ["/v1/classify", "/v1/classify/batch"]
ROUTE = "/v1/classify"


def scope_of(path: str = ROUTE, query: str = "", method: str = "POST", **headers: str) -> Any:
    fields = {"host": "test", "content_length": "100"} | headers
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in fields.items()
            if value
        ],
        "state": {},
    }


def now() -> float:
    return asyncio.get_running_loop().time()


def gate_of(world: World) -> RefusalGate:
    gate = world.app.state.gate
    assert isinstance(gate, RefusalGate)
    return gate


def parts_of(response: WrittenResponse) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body."""
    head, _, body = response.rest.partition(b"\r\n\r\n")
    pairs = (line.split(b": ", 1) for line in head.split(b"\r\n"))
    return [(name, value) for name, value in pairs], body


def refusals(world: World) -> float:
    return world.count("images_total", model="cifar10", version="1", outcome="queue_full")


# ---- the gate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
async def test_full_queue_is_told_as_the_route_tells_it(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path, **LIMITS) as world:
        accepted = await fill(world)
        headers = {"x-request-id": "mine", "content-type": "image/png"}
        by_route = await world.client.post(path, content=b"x", headers=headers)
        assert_problem(by_route, 429, "queue_full", "KERASERVE_MAX_QUEUE_SIZE")
        counted = refusals(world)
        response = gate_of(world).refusal(scope_of(path, x_request_id="mine"), now)
        assert response is not None
        assert response.status == by_route.status_code
        assert parts_of(response) == (by_route.headers.raw, by_route.content)
        assert refusals(world) == counted + 1
        assert world.count("requests_total", route=path, method="POST", code="429") == 2
        assert world.count("request_duration_seconds_count", route=path) == 2
        assert world.count("in_flight_requests") == len(accepted)
        world.puppet.let_go()
        for task in accepted:
            assert (await task).status_code == 200


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(scope_of("/v1/models"), id="another path"),
        pytest.param(scope_of(method="PUT"), id="another method"),
        pytest.param(scope_of(query="model=none"), id="no such model"),
        pytest.param(scope_of(query="version=7"), id="no such version"),
        pytest.param(scope_of(query="version=1&label=stable"), id="version and label"),
        pytest.param(scope_of(query="colour=red"), id="unknown parameter"),
        pytest.param(scope_of(query="timeout_ms=99999999"), id="too long a deadline"),
        pytest.param(scope_of(query="top_k=99"), id="too many labels"),
        pytest.param(scope_of(content_length="1048577"), id="long body"),
        pytest.param(
            scope_of(transfer_encoding="chunked", content_length=""), id="body of unknown length"
        ),
        pytest.param(scope_of(origin="https://example.org"), id="page of another origin"),
    ],
)
async def test_what_may_be_told_something_else_is_left_to_the_route(
    tmp_path: Path, scope: dict[str, Any]
) -> None:
    async with serving(tmp_path, **LIMITS) as world:
        accepted = await fill(world)
        scope = scope | {"state": {}}  # the gate writes into it
        assert gate_of(world).refusal(scope, now) is None
        assert refusals(world) == 0
        assert world.count("in_flight_requests") == len(accepted)
        world.puppet.let_go()
        for task in accepted:
            await task


async def test_stopping_service_is_left_to_the_route(tmp_path: Path) -> None:
    async with serving(tmp_path, **LIMITS) as world:
        accepted = await fill(world)
        world.lifecycle.refuse()
        assert gate_of(world).refusal(scope_of(), now) is None
        world.puppet.let_go()
        for task in accepted:
            await task


async def test_request_that_a_canary_may_answer_is_left_to_the_route(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, {"share": 1}, **LIMITS) as world:
        accepted = [*await fill(world, version=2), *await fill(world, version=1)]
        assert gate_of(world).refusal(scope_of(), now) is None
        assert refusals(world) == 0
        named = gate_of(world).refusal(scope_of(query="version=1"), now)
        assert named is not None
        assert named.status == 429
        for puppet in world.puppets.values():
            puppet.let_go()
        for task in accepted:
            await task


async def test_where_there_is_room_nobody_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, **LIMITS) as world:
        assert gate_of(world).refusal(scope_of(), now) is None
        assert (await world.classify()).status_code == 200


async def test_those_who_pass_in_one_turn_are_no_more_than_there_is_room_for(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, **LIMITS) as world:
        accepted = await world.occupy()
        gate = gate_of(world)
        assert gate.refusal(scope_of(), now) is None
        response = gate.refusal(scope_of(), now)
        assert response is not None
        assert response.status == 429
        await asyncio.sleep(0)  # the one that passed does not come, the next turn begins
        assert gate.refusal(scope_of(), now) is None
        world.puppet.let_go()
        for task in accepted:
            await task


async def test_it_looks_for_a_while_after_a_refusal_only(tmp_path: Path) -> None:
    async with serving(tmp_path, **LIMITS) as world:
        gate, now_s = gate_of(world), now()
        assert (await world.classify()).status_code == 200
        assert not gate.is_watching(now_s)
        accepted = await fill(world)
        assert (await world.classify()).status_code == 429
        assert gate.is_watching(now())
        assert not gate.is_watching(now() + WATCH_S)
        world.puppet.let_go()
        for task in accepted:
            await task


async def test_who_has_no_key_is_told_so_and_not_that_all_is_full(tmp_path: Path) -> None:
    store, path = tmp_path / "store", tmp_path / "keys.json"
    store.mkdir()
    key = create_key(path, "camera", frozenset({Scope.INFER}))
    other = create_key(path, "scraper", frozenset({Scope.METRICS}))
    async with serving(store, api_keys_file=path, **LIMITS) as world:
        world.client.headers["authorization"] = f"Bearer {key}"
        accepted = await fill(world)
        for value in ("", "Bearer wrong", f"Bearer {other}"):
            assert gate_of(world).refusal(scope_of(authorization=value), now) is None
        assert refusals(world) == 0
        response = gate_of(world).refusal(scope_of(authorization=f"Bearer {key}"), now)
        assert response is not None
        assert response.status == 429
        world.puppet.let_go()
        for task in accepted:
            await task


# ---- real sockets -------------------------------------------------------------------------------

SMALL = bytes(100)


class Line:
    """A connection on which a test writes bytes, and reads answers."""

    def __init__(self, connection: socket.socket, answers: IO[bytes]) -> None:
        self._connection = connection
        self._answers = answers

    def send(self, content: bytes) -> None:
        self._connection.sendall(content)

    def answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Read one answer: status, headers, document."""
        status = int(self._answers.readline().split()[1])
        lines = iter(self._answers.readline, b"\r\n")
        headers = dict(line.decode().rstrip().lower().split(": ", 1) for line in lines)
        body = self._answers.read(int(headers["content-length"]))
        is_document = headers["content-type"] == "application/problem+json"
        return status, headers, json.loads(body) if is_document else {}

    def is_over(self) -> bool:
        """Wait for the next byte; whether none comes."""
        return self._answers.read(1) == b""


def message(
    body: bytes = SMALL, *headers: str, path: str = ROUTE, version: str = "HTTP/1.1"
) -> bytes:
    lines = [f"POST {path} {version}", "Host: test", "Content-Type: image/png", *headers]
    if not any(line.startswith("Transfer-Encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def line_to(server: LiveServer) -> Iterator[Line]:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection,
        connection.makefile("rb") as answers,
    ):
        yield Line(connection, answers)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[LiveServer]:
    """A server that refuses whatever comes, and has just refused somebody."""
    with full_server(tmp_path) as server:
        with line_to(server) as line:
            line.send(message())
            assert line.answer()[0] == 429
        server.begun.clear()
        yield server


def counted(server: LiveServer) -> float | None:
    labels = {"route": ROUTE, "method": "POST", "code": "429"}
    return server.lifecycle.metrics.registry.get_sample_value("keraserve_requests_total", labels)


@pytest.mark.parametrize("path", PATHS)
def test_both_ways_give_the_same_answer(full: LiveServer, path: str) -> None:
    with line_to(full) as line:
        line.send(message(SMALL, "X-Request-Id: mine", path=path))
        soon = line.answer()
        assert full.begun == []
        line.send(message(SMALL, "X-Request-Id: mine", "Origin: https://a.org", path=path))
        later = line.answer()
        assert full.begun == [path]
    assert soon[0] == later[0] == 429
    assert list(soon[1]) == list(later[1])
    for name in set(soon[1]) - {"date"}:
        assert soon[1][name] == later[1][name]
    assert soon[2] == later[2]


def test_id_is_made_where_the_request_has_none(full: LiveServer) -> None:
    with line_to(full) as line:
        line.send(message() + message())
        first, second = line.answer(), line.answer()
    ids = {first[2]["request_id"], second[2]["request_id"]}
    assert ids == {first[1]["x-request-id"].upper(), second[1]["x-request-id"].upper()}
    assert len(ids) == 2


@pytest.mark.parametrize("size", [0, 100, 900_000], ids=["no body", "small", "in many pieces"])
def test_connection_goes_on_after_the_unread_body(full: LiveServer, size: int) -> None:
    before = counted(full)
    with line_to(full) as line:
        for _ in range(3):
            line.send(message(bytes(size)))
            status, headers, _ = line.answer()
            assert (status, "connection" in headers) == (429, False)
        assert full.begun == []
        line.send(b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n")
        assert line.answer()[0] == 200
    assert before is not None
    assert counted(full) == before + 3


def test_body_may_come_piece_by_piece_behind_its_refusal(full: LiveServer) -> None:
    whole = message()
    head = len(whole) - len(SMALL)
    with line_to(full) as line:
        line.send(whole[:head])
        assert line.answer()[0] == 429
        line.send(whole[head : head + 10])
        line.send(whole[head + 10 :] + whole)
        assert line.answer()[0] == 429
    assert full.begun == []


def test_head_may_come_piece_by_piece(full: LiveServer) -> None:
    whole = message()
    with line_to(full) as line:
        for start in range(0, len(whole), 7):
            line.send(whole[start : start + 7])
        assert line.answer()[0] == 429
    assert full.begun == []


def test_connection_on_which_somebody_was_refused_is_accepted_again(tmp_path: Path) -> None:
    with full_server(tmp_path) as server, line_to(server) as line:
        for _ in range(2):
            line.send(message())
            assert line.answer()[0] == 429
        assert server.begun.count(ROUTE) == 1, "the first refusal; those who wait have no task"
        server.puppets["cifar10:1"].let_go()
        while True:
            line.send(message(picture()))
            status = line.answer()[0]
            if status == 200:
                break
            assert status == 429


def test_refusal_behind_a_request_under_way_waits_for_its_turn(full: LiveServer) -> None:
    bad = message(SMALL, path="/v1/classify?model=none")
    with line_to(full) as line:
        line.send(bad + message() + bad)
        assert [line.answer()[0] for _ in range(3)] == [404, 429, 404]
    assert full.begun == [ROUTE] * 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(message(SMALL, "Connection: close"), id="the last one"),
        pytest.param(message(SMALL, version="HTTP/1.0"), id="HTTP 1.0"),
        pytest.param(message(b"0\r\n\r\n", "Transfer-Encoding: chunked"), id="chunked"),
        pytest.param(message(bytes(1_048_577)), id="long"),
    ],
)
def test_connection_that_is_to_end_ends(full: LiveServer, request_bytes: bytes) -> None:
    with line_to(full) as line:
        line.send(request_bytes)
        status, headers, _ = line.answer()
        assert (status, headers["connection"]) == (429, "close")
        assert line.is_over()
    assert full.begun == [ROUTE]


def test_client_that_asks_first_is_spared_its_body(full: LiveServer) -> None:
    with line_to(full) as line:
        line.send(message(b"", "Expect: 100-continue", "X-Request-Id: mine"))
        status, _, document = line.answer()
    assert (status, document["request_id"]) == (429, "mine")
    assert full.begun == [ROUTE]


def test_stopping_server_waits_for_nobody_whom_it_refused(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with full_server(tmp_path) as server:
            line = stack.enter_context(line_to(server))
            for _ in range(2):
                line.send(message())
                assert line.answer()[0] == 429
        assert line.is_over()


def test_broken_bytes_behind_a_refusal_end_the_connection(full: LiveServer) -> None:
    with line_to(full) as line:
        line.send(message())
        assert line.answer()[0] == 429
        line.send(b"no request\r\n\r\n")
        assert line.answer()[0] == 400
        assert line.is_over()
