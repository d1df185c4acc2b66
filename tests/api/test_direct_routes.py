"""Requests that pass FastAPI's layers by are answered as all others."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.direct_route import DirectRoute, DirectRoutes
from tests.api.call import Call
from tests.api.world import World, assert_problem, picture, serving

ORIGIN = "https://shop.example"


@pytest.mark.parametrize(
    ("method", "path", "root_path", "is_direct"),
    [
        ("POST", "/v1/classify", "", True),
        ("POST", "/v1/classify/batch", "", True),
        ("GET", "/v1/classify", "", False),
        ("POST", "/v1/classify/", "", False),
        ("GET", "/v1/models", "", False),
        ("POST", "/app/v1/classify", "/app", False),
    ],
)
async def test_path_decides_whether_the_router_is_asked(
    world: World, method: str, path: str, root_path: str, is_direct: bool
) -> None:
    asked: list[str] = []

    async def router(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])

    async def answer(request: Request) -> Response:
        return Response(status_code=204)

    routes = [
        DirectRoute(route.path, answer, methods=route.methods)
        for route in world.app.router.routes
        if isinstance(route, DirectRoute)
    ]
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": method, "path": path, "root_path": root_path, "headers": []}
    await DirectRoutes(router, routes)(scope, receive, send)
    assert asked == ([] if is_direct else [path])
    assert [message.get("status") for message in sent[:1]] == ([204] if is_direct else [])


async def test_other_methods_of_a_direct_path_are_refused_as_everywhere(world: World) -> None:
    answer = await world.client.get("/v1/classify")
    assert "POST" in assert_problem(answer, 405, "method_not_allowed")["detail"]


async def test_behind_a_prefix_the_router_finds_the_route(world: World) -> None:
    call = Call(world.app, "/app/v1/classify", root_path="/app")
    call.feed(picture())
    await call.end()
    assert call.status == 200


@pytest.mark.parametrize("is_good", [True, False], ids=["answer", "problem"])
async def test_pages_of_other_origins_may_read_direct_answers(
    tmp_path: Path, is_good: bool
) -> None:
    async with serving(tmp_path, cors_origins=(ORIGIN,)) as world:
        content = picture() if is_good else b"text"
        headers = {"Origin": ORIGIN, "Content-Type": "image/png"}
        answer = await world.client.post("/v1/classify", content=content, headers=headers)
        assert answer.status_code == (200 if is_good else 415)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        allowed = await world.client.options("/v1/classify", headers=asked)
        assert allowed.status_code == 200
