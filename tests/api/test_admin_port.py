"""The second port: what is for those who run the server, and not there at the first one."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.access.caller import Scope
from app.access.keys_file import create_key
from tests.api.live_server import LiveServer, listening
from tests.api.test_access import OPEN, ROUTES, example
from tests.api.world import PATIENCE_S, World, picture, serving

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[LiveServer, dict[str, str]]]:
    folder = tmp_path
    (folder / "store").mkdir()
    path = folder / "keys.json"
    keys = {scope.value: create_key(path, scope.value, [scope]) for scope in Scope}
    with listening(folder / "store", admin_port=0, api_keys_file=path) as server:
        yield server, keys


def ask(
    port: int | None, method: str, path: str, *, key: str | None = None, **headers: str
) -> tuple[int, dict[str, Any] | None]:
    assert port is not None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    fields = {"Content-Type": "image/png"} | headers
    if key is not None:
        fields["Authorization"] = f"Bearer {key}"
    connection.request(method, path, picture() if method == "POST" else None, fields)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    is_problem = response.headers["content-type"] == "application/problem+json"
    return response.status, json.loads(body) if is_problem else None


def test_what_is_for_administrators_is_only_at_their_port(
    server: tuple[LiveServer, dict[str, str]],
) -> None:
    live, keys = server
    for method, path, scope in ROUTES:
        for key in (None, keys["admin"]):
            status, problem = ask(live.port, method, path, key=key)
            if scope is Scope.INFER:
                assert status != 404
            else:
                assert problem is not None
                assert (status, problem["code"]) == (404, "not_found")
                assert path in problem["detail"]
                assert "KERASERVE_ADMIN_PORT" in problem["detail"]
                assert str(live.admin_port) not in problem["detail"]
        status, _ = ask(live.admin_port, method, path, key=keys["admin"])
        assert status not in (401, 403, 404), path


def test_admin_port_asks_for_keys_as_the_other_one_does(
    server: tuple[LiveServer, dict[str, str]],
) -> None:
    live, keys = server
    assert ask(live.admin_port, "POST", "/v1/admin/reload")[0] == 401
    assert ask(live.admin_port, "POST", "/v1/admin/reload", key=keys["infer"])[0] == 403
    assert ask(live.admin_port, "GET", "/metrics")[0] == 401
    assert ask(live.admin_port, "POST", "/v1/classify")[0] == 401


def test_both_ports_answer_what_is_for_everybody(
    server: tuple[LiveServer, dict[str, str]],
) -> None:
    live, keys = server
    for port in (live.port, live.admin_port):
        for path in OPEN:
            assert ask(port, "GET", path)[0] == 200
        assert ask(port, "POST", "/v1/classify", key=keys["infer"])[0] == 200


def test_nothing_that_a_client_writes_makes_one_port_the_other(
    server: tuple[LiveServer, dict[str, str]],
) -> None:
    live, keys = server
    lies = {
        "Host": f"127.0.0.1:{live.admin_port}",
        "X-Forwarded-Port": str(live.admin_port),
        "X-Forwarded-Host": f"127.0.0.1:{live.admin_port}",
        "Forwarded": f"host=127.0.0.1:{live.admin_port}",
    }
    target = f"http://127.0.0.1:{live.admin_port}/metrics"
    for path in ("/metrics", target, "/%6detrics", "/v1/admin/../../metrics"):
        assert ask(live.port, "GET", path, key=keys["admin"], **lies)[0] == 404


async def test_without_a_second_port_the_first_has_all(world: World) -> None:
    assert world.lifecycle.admin_port is None
    assert (await world.client.get("/metrics")).status_code == 200
    assert (await world.order("POST", "/reload")).status_code == 200


async def test_document_tells_that_a_route_may_be_missing(tmp_path: Path) -> None:
    async with serving(tmp_path) as world:
        paths = (await world.client.get("/openapi.json")).json()["paths"]
    routes = {(method, path) for method, path, scope in ROUTES if scope is not Scope.INFER}
    described = {
        (method.upper(), example(path))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "not_found" in operation["responses"].get("404", {}).get("content", {})
        .get("application/problem+json", {}).get("examples", {})
    }  # fmt: skip
    assert described >= routes
