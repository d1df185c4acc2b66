"""API keys: who may ask what, and what others are told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from app.access.caller import Scope
from app.access.keys_file import create_key, revoke_key
from app.api.access import require
from tests.api.call import Call
from tests.api.world import World, assert_problem, picture, serving, until

SETTING = "KERASERVE_API_KEYS_FILE"
QUICKLY = {"store_poll_interval_s": 0.05}

# Every route that takes a key, with its scope.
ROUTES = [
    ("POST", "/v1/classify", Scope.INFER),
    ("POST", "/v1/classify/batch", Scope.INFER),
    ("GET", "/v1/models", Scope.INFER),
    ("GET", "/v1/models/cifar10", Scope.INFER),
    ("GET", "/v1/models/cifar10/versions/1", Scope.INFER),
    ("GET", "/v1/models/cifar10/versions/one", Scope.INFER),
    ("GET", "/v1/models/cifar10/samples", Scope.INFER),
    ("GET", "/v1/models/cifar10/samples/0/image", Scope.INFER),
    ("GET", "/v1/models/cifar10/samples/0/real", Scope.INFER),
    ("POST", "/v1/models/cifar10/samples/0/predict", Scope.INFER),
    ("GET", "/metrics", Scope.METRICS),
    ("GET", "/v1/debug/requests", Scope.ADMIN),
    ("POST", "/v1/admin/models/cifar10/load", Scope.ADMIN),
    ("POST", "/v1/admin/models/cifar10/unload", Scope.ADMIN),
    ("PUT", "/v1/admin/models/cifar10/labels/beta", Scope.ADMIN),
    ("DELETE", "/v1/admin/models/cifar10/labels/beta", Scope.ADMIN),
    ("POST", "/v1/admin/models/cifar10/rollback", Scope.ADMIN),
    ("POST", "/v1/admin/reload", Scope.ADMIN),
    ("PUT", "/v1/admin/models/cifar10/canary", Scope.ADMIN),
    ("DELETE", "/v1/admin/models/cifar10/canary", Scope.ADMIN),
    ("PUT", "/v1/admin/models/cifar10/shadow", Scope.ADMIN),
    ("DELETE", "/v1/admin/models/cifar10/shadow", Scope.ADMIN),
]
RELOAD = "/v1/admin/reload"
GUARDED = pytest.mark.parametrize(
    ("method", "path", "scope"),
    [pytest.param(*row, id=" ".join(row[:2])) for row in ROUTES],
)
OPEN = [
    "/livez", "/readyz", "/healthz", "/health", "/ping", "/v2/health/live", "/v2/health/ready",
    "/docs", "/redoc", "/openapi.json", "/favicon.ico", "/", "/playground/main.js",
]  # fmt: skip


def example(path: str) -> str:
    parts = {"{name}": "cifar10", "{version}": "1", "{label}": "beta", "{index}": "0"}
    for name, value in parts.items():
        path = path.replace(name, value)
    return path


class Guarded:
    """The running application with a file of keys.

    Attributes:
        keys: By name; there is one for each scope, called like it.
        path: The file.
        world: The application.
    """

    def __init__(self, world: World, path: Path, keys: dict[str, str]) -> None:
        self.world = world
        self.path = path
        self.keys = keys

    async def ask(
        self, method: str, path: str, authorization: str | bytes | None = None
    ) -> httpx.Response:
        value = authorization.encode() if isinstance(authorization, str) else authorization
        headers = [] if value is None else [(b"authorization", value)]
        parts = [("file" if path == "/v1/classify" else "files", picture())]
        if method == "POST":
            return await self.world.client.post(path, files=parts, headers=httpx.Headers(headers))
        return await self.world.client.request(method, path, headers=httpx.Headers(headers))

    async def ask_as(self, name: str, method: str, path: str) -> httpx.Response:
        return await self.ask(method, path, f"Bearer {self.keys[name]}")


@asynccontextmanager
async def guarded_over(folder: Path, **settings: Any) -> AsyncIterator[Guarded]:
    path, store = folder / "keys.json", folder / "store"
    store.mkdir()
    keys = {scope.value: create_key(path, scope.value, [scope]) for scope in Scope}
    async with serving(store, api_keys_file=path, **(QUICKLY | settings)) as world:
        yield Guarded(world, path, keys)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded_over(tmp_path) as guarded:
        yield guarded


def assert_unauthenticated(response: httpx.Response, scope: Scope, *detail: str) -> None:
    assert_problem(response, 401, "unauthenticated", f"scope {scope}", SETTING, *detail)
    assert response.headers["www-authenticate"] == "Bearer"


@GUARDED
async def test_route_refuses_who_has_no_key_or_an_unknown_one(
    guarded: Guarded, method: str, path: str, scope: Scope
) -> None:
    assert_unauthenticated(await guarded.ask(method, path), scope, "no API key")
    unknown = guarded.keys["admin"][:-4] + "0000"
    response = await guarded.ask(method, path, f"Bearer {unknown}")
    assert_unauthenticated(response, scope, "not known")
    assert unknown not in response.text


@GUARDED
async def test_route_refuses_a_key_without_its_scope_and_takes_those_with_it(
    guarded: Guarded, method: str, path: str, scope: Scope
) -> None:
    other = Scope.METRICS if scope is Scope.INFER else Scope.INFER
    response = await guarded.ask_as(other, method, path)
    assert_problem(response, 403, "forbidden", f"key {other}", f"scope {scope}", SETTING)
    assert guarded.keys[other] not in response.text
    # Past the key, orders without their body, or with nothing to go back to, are refused for that.
    wanted = {422} if path.endswith("one") else {200, 400, 409} if "admin" in path else {200}
    for name in (scope, Scope.ADMIN):
        assert (await guarded.ask_as(name, method, path)).status_code in wanted


async def test_every_route_asks_for_a_key_but_those_for_machines_and_the_documentation(
    guarded: Guarded,
) -> None:
    for path in OPEN:
        assert (await guarded.ask("GET", path)).status_code == 200
    for path, operations in guarded.world.app.openapi()["paths"].items():
        for method in operations:
            status = (await guarded.ask(method.upper(), example(path))).status_code
            assert status == (200 if path in OPEN else 401)
    assert (await guarded.ask("HEAD", "/v1/models")).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_scheme_is_read_in_any_case(guarded: Guarded, scheme: str) -> None:
    authorization = f"{scheme} {guarded.keys['infer']}"
    assert (await guarded.ask("POST", "/v1/classify", authorization)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "", "Bearer", "Bearer ", "Basic {key}", "{key}", "Bearer{key}", "Bearer\t{key}",
        "Bearer {key} {key}", "Bearer {key},Bearer {key}", "Bearer: {key}", 'Bearer "{key}"',
        "Bearer {key}\xe9", "B\xe9arer {key}", "Bearer ${key}",
    ],
)  # fmt: skip
async def test_header_that_is_malformed_is_refused(guarded: Guarded, authorization: str) -> None:
    key = guarded.keys["infer"]
    value = authorization.replace("{key}", key).encode("latin-1")
    response = await guarded.ask("POST", "/v1/classify", value)
    assert_unauthenticated(response, Scope.INFER, "Authorization is not 'Bearer' and one key")
    assert key not in response.text


async def test_two_headers_are_refused(guarded: Guarded) -> None:
    value = f"Bearer {guarded.keys['infer']}".encode()
    headers = httpx.Headers([(b"authorization", value)] * 2)
    response = await guarded.world.client.get("/v1/models", headers=headers)
    assert_unauthenticated(response, Scope.INFER, "one key")


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/classify/batch"])
async def test_images_are_refused_before_any_of_them_is_read(guarded: Guarded, path: str) -> None:
    call = Call(guarded.world.app, path)
    call.feed(picture(), has_more=True)
    await until(lambda: bool(call.sent))
    assert call.status == 401
    assert call.unread == 1
    call.feed(b"")
    await call.end()


async def test_large_body_that_is_refused_lingers_until_the_client_has_sent_it(
    guarded: Guarded,
) -> None:
    call = Call(guarded.world.app, headers={"content-length": str(8 << 20)})
    await until(lambda: len(call.sent) == 2)
    assert (call.status, call.headers["connection"]) == (401, "close")
    assert not call.is_answered
    call.feed(bytes(8 << 20))
    await call.end()
    assert call.is_answered


async def test_who_has_no_key_learns_nothing_of_models_and_parameters(guarded: Guarded) -> None:
    for query in ("?model=nothing", "?nonsense=1"):
        response = await guarded.ask("POST", f"/v1/classify{query}")
        assert_unauthenticated(response, Scope.INFER)
    assert_unauthenticated(await guarded.ask("GET", "/v1/models/nothing"), Scope.INFER)


async def test_key_that_is_made_or_revoked_counts_without_a_restart(guarded: Guarded) -> None:
    ring = guarded.world.lifecycle.key_ring
    assert ring is not None
    key = guarded.keys["new"] = create_key(guarded.path, "new", [Scope.INFER])
    await until(lambda: ring.find(key) is not None)
    assert (await guarded.ask_as("new", "POST", "/v1/classify")).status_code == 200

    revoke_key(guarded.path, "new")
    await until(lambda: ring.find(key) is None)
    response = await guarded.ask_as("new", "POST", "/v1/classify")
    assert_unauthenticated(response, Scope.INFER, "not known, or no longer")
    assert (await guarded.ask_as("infer", "POST", "/v1/classify")).status_code == 200


async def test_key_that_is_revoked_while_the_service_stops_is_refused(guarded: Guarded) -> None:
    ring = guarded.world.lifecycle.key_ring
    assert ring is not None
    guarded.world.lifecycle.refuse()
    revoke_key(guarded.path, "infer")
    await until(lambda: ring.find(guarded.keys["infer"]) is None)
    assert_unauthenticated(await guarded.ask_as("infer", "POST", "/v1/classify"), Scope.INFER)


async def test_file_that_vanishes_opens_nothing_and_locks_nobody_out(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.path.unlink()
    await until(lambda: "keys not read, those known so far hold" in caplog.messages)
    assert (await guarded.ask_as("infer", "GET", "/v1/models")).status_code == 200
    assert_unauthenticated(await guarded.ask("GET", "/v1/models"), Scope.INFER)


async def test_administrating_takes_a_key_from_this_machine_too(guarded: Guarded) -> None:
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(guarded.world.app), base_url="http://localhost"
    )
    async with client:
        assert_unauthenticated(await client.post(RELOAD), Scope.ADMIN)
    assert (await guarded.ask_as("admin", "POST", RELOAD)).status_code == 200
    response = await guarded.ask_as("infer", "POST", RELOAD)
    assert_problem(response, 403, "forbidden", "key infer", "scope admin", SETTING)


def lines(caplog: pytest.LogCaptureFixture) -> Sequence[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.message == "request"]


async def test_log_tells_the_name_of_the_key_and_never_a_key(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def fail(request: Request) -> Response:
        raise ValueError(require(request, Scope.INFER).name)

    guarded.world.app.add_api_route("/fail", fail)
    assert (await guarded.ask_as("infer", "POST", "/v1/classify")).status_code == 200
    assert (await guarded.ask_as("metrics", "POST", "/v1/classify")).status_code == 403
    assert (await guarded.ask_as("infer", "GET", "/fail")).status_code == 500
    await guarded.ask("GET", "/v1/models", f"Basic {guarded.keys['infer']}")
    await guarded.ask("GET", "/v1/models", "Bearer ks_unknown")

    assert [line.get("by") for line in lines(caplog)] == ["infer", "metrics", "infer", None, None]
    for record in caplog.records:
        written = logging.Formatter().format(record) + str(vars(record))
        assert "ks_" not in written


async def test_browser_may_send_a_key_from_an_allowed_origin(tmp_path: Path) -> None:
    origin = "https://app.example"
    async with guarded_over(tmp_path, cors_origins=(origin,)) as guarded:
        for method, path, _ in ROUTES:
            asked = {
                "Origin": origin,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization",
            }
            response = await guarded.world.client.options(path, headers=asked)
            assert response.status_code == 200
            assert response.headers["access-control-allow-headers"] == "authorization"
            assert method in response.headers["access-control-allow-methods"]
        refused = await guarded.world.client.get("/v1/models", headers={"Origin": origin})
        assert_unauthenticated(refused, Scope.INFER)
        assert refused.headers["access-control-allow-origin"] == origin
        shown = refused.headers["access-control-expose-headers"]
        assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(shown.split(", "))


async def test_page_of_an_allowed_origin_does_not_administrate_without_a_key(
    tmp_path: Path,
) -> None:
    origin = "https://app.example"
    async with serving(tmp_path, cors_origins=(origin,)) as world:
        headers = {"Host": "localhost", "Origin": origin}
        for method, path, scope in ROUTES:
            if scope is Scope.ADMIN:
                response = await world.client.request(method, path, headers=headers)
                assert_problem(response, 403, "forbidden", "another site (Origin)")
                assert response.headers["access-control-allow-origin"] == origin


async def test_without_a_file_anybody_classifies_and_reads_metrics(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request")
    assert (await world.classify()).status_code == 200
    assert (await world.client.get("/v1/models")).status_code == 200
    assert (await world.client.get("/metrics")).status_code == 200
    world.client.headers["Authorization"] = "Bearer of-another-service"
    assert (await world.classify()).status_code == 200
    assert not any("by" in line for line in lines(caplog))


async def test_without_a_file_only_this_machine_administrates(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request")
    local = {"host": "localhost:8000"}
    call = Call(world.app, RELOAD, headers=local, client=("127.0.0.1", 50_000))
    call.feed(b"")
    await call.end()
    assert call.status == 200
    assert lines(caplog)[-1]["by"] == "local"

    call = Call(world.app, RELOAD, headers=local, client=("192.168.1.5", 50_000))
    call.feed(b"")
    await call.end()
    assert (call.status, call.document["code"]) == (403, "forbidden")
    for part in ("scope admin", "another address", "keraserve keys create", SETTING):
        assert part in call.document["detail"]


async def test_document_says_which_scope_a_route_takes(world: World) -> None:
    document = (await world.client.get("/openapi.json")).json()
    (name,) = document["components"]["securitySchemes"]
    scheme = document["components"]["securitySchemes"][name]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert SETTING in scheme["description"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            wanted = [row for row in ROUTES if row[:2] == (method.upper(), example(path))]
            security = operation.get("security", [])
            assert security == [item for *_, scope in wanted for item in ({name: [scope]}, {})]
            answers = operation["responses"]
            assert ("401" in answers) == ("403" in answers) == bool(wanted)
            if wanted:
                assert "WWW-Authenticate" in answers["401"]["headers"]
