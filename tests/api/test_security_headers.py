"""Headers that keep browsers from mischief, on every answer that leaves the server."""

from __future__ import annotations

import pytest

from app.access.allowance import LimitPolicy
from tests.api.doorway import ELSEWHERE, ROUTE, Answer, Doorway, message
from tests.api.limited_world import get, limited
from tests.api.world import picture

pytestmark = pytest.mark.timeout(30)

EXPECTED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


def assert_secure(answer: Answer) -> None:
    for name, value in EXPECTED.items():
        assert (name, value) in answer.headers
    assert "strict-transport-security" not in answer.names, "without TLS nobody is told to keep it"
    assert "server" not in answer.names


@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(message(picture()), 200, id="express lane"),
        pytest.param(message(picture(), ELSEWHERE), 200, id="route"),
        pytest.param(message(b"no image"), 415, id="error"),
        pytest.param(message(picture(), query="model=none"), 404, id="no model"),
        pytest.param(get("/nowhere"), 404, id="no route"),
        pytest.param(get(ROUTE), 405, id="another method"),
        pytest.param(get("/"), 200, id="playground"),
        pytest.param(get("/playground/main.js"), 200, id="part of the playground"),
        pytest.param(get("/docs"), 200, id="documentation"),
        pytest.param(get("/livez"), 200, id="health"),
        pytest.param(get("/metrics"), 200, id="metrics"),
        pytest.param(get("/v1/models"), 200, id="models"),
        pytest.param(get("/v1/models", method="OPTIONS"), 405, id="OPTIONS"),
        pytest.param(message(b"").replace(b"gth: 0", b"gth: 99999999999"), 413, id="large"),
        pytest.param(b"no HTTP\r\n\r\n", 400, id="no HTTP"),
        pytest.param(get("/livez", *["X-a: b"] * 300), 400, id="too many headers"),
        pytest.param(get("/" + "a" * 70_000), 400, id="too long an address"),
    ],
)
async def test_every_answer_has_them(door: Doorway, content: bytes, status: int) -> None:
    line = await door.connect()
    line.send(content)
    answer = await line.answer()
    assert answer.status == status
    assert_secure(answer)


async def test_refusals_of_the_gate_have_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with limited(tmp_path_factory.mktemp("gate"), LimitPolicy(0.1, 1)) as found:
        line = await found.door.connect()
        for status in (200, 429, 429):
            line.send(message(picture()))
            answer = await line.answer()
            assert answer.status == status
            assert_secure(answer)
        assert found.door.begun == [ROUTE], "the last one is the gate's"


async def test_pages_have_a_policy_of_their_own_beside(door: Doorway) -> None:
    line = await door.connect()
    for path in ("/", "/docs", "/redoc"):
        line.send(get(path))
        answer = await line.answer()
        policies = [value for name, value in answer.headers if name == "content-security-policy"]
        assert len(policies) == 2
        assert all("frame-ancestors 'none'" in policy for policy in policies)
        assert any(policy.startswith("default-src") for policy in policies)
        for name in EXPECTED.keys() - {"content-security-policy"}:
            assert answer.names.count(name) == 1
