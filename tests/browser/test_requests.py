"""The slowest and the last failed requests, shown where somebody asks for them."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, expect

from app.access.caller import Scope
from app.access.keys_file import create_key
from tests.api.live_server import listening
from tests.api.world import picture
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground
from tests.browser.test_looks import PHONE, WALL

SUMMARY = "Why was this slow?"


def shown(playground: Playground) -> Locator:
    return playground.live.get_by_role("region", name="Single requests")


def flights(playground: Playground, name: str) -> Locator:
    return shown(playground).locator(f'ol[aria-label="{name}"] > li')


def look(playground: Playground) -> None:
    playground.live.get_by_text(SUMMARY).click()


def test_slow_and_failed_requests_are_shown_with_every_stage(
    open_page: OpenPage, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store) as server:
        playground = open_page(server.url)
        look(playground)
        expect(shown(playground)).to_contain_text("Nothing was classified in the last 10 minutes.")
        expect(shown(playground)).to_contain_text("Nothing has failed")
        headers = {"X-Request-Id": "mine"}
        httpx.post(f"{server.url}/v1/classify", content=picture(), headers=headers)
        httpx.post(f"{server.url}/v1/classify", content=b"no picture", headers=headers)

        playground.live.get_by_role("button", name="Look again").click()

        slow, failed = flights(playground, "Slowest"), flights(playground, "Failed last")
        expect(slow).to_have_count(1)
        expect(slow).to_contain_text("cifar10, version 1")
        for stage in ("decode", "queue", "execute", "rest"):
            expect(slow.locator(f".legend .{stage}")).to_contain_text("ms")
        expect(slow).to_contain_text("place 1 in the queue · executed alone · request mine")
        expect(failed).to_have_count(1)
        expect(failed).to_contain_text("415 unsupported_format")
        expect(failed.locator(".legend .queue")).to_have_text("queue –")
        expect(failed).to_contain_text("request mine")


def test_nothing_is_asked_before_somebody_looks(open_page: OpenPage, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store) as server:
        playground = open_page(server.url, is_waited_for=False)
        with playground.page.expect_request("**/metrics"):
            playground.page.reload()
        assert "/v1/debug/requests" not in server.begun
        look(playground)
        expect(shown(playground)).to_contain_text("Nothing was classified")
        assert server.begun.count("/v1/debug/requests") == 1


def test_who_may_not_see_them_is_told_why_and_asked_for_nothing(
    open_page: OpenPage, tmp_path: Path
) -> None:
    store, path = tmp_path / "store", tmp_path / "keys.json"
    store.mkdir()
    key = create_key(path, "photo-app", [Scope.INFER])
    admin = create_key(path, "ops", [Scope.ADMIN])
    with listening(store, api_keys_file=path) as server:
        playground = open_page(server.url, is_waited_for=False)
        playground.page.get_by_label("API key").fill(key)
        playground.page.get_by_role("button", name="Use this key").click()
        expect(playground.model).to_be_enabled()
        look(playground)
        expect(shown(playground)).to_contain_text("this takes one with the scope admin")
        expect(playground.page.locator("#key-form")).to_be_hidden()
        shown(playground).get_by_role("button", name="Use another key").click()
        field = playground.page.get_by_label("API key")
        field.fill(admin)
        playground.page.get_by_role("button", name="Use this key").click()
        expect(playground.page.locator("#key-form")).to_be_hidden()
        playground.live.get_by_role("button", name="Look again").click()
        expect(shown(playground)).to_contain_text("Slowest")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [{}, PHONE, WALL], ids=["desk", "phone", "wall"])
def test_list_is_accessible_and_fits_whatever_is_in_it(
    open_page: OpenPage, tmp_path: Path, scheme: str, screen: dict[str, object]
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    entry = {
        "request_id": "x" * 128,
        "started_at": "2026-11-26T08:00:00.123456Z",
        "route": "/v1/models/{name}/samples/{index}/predict",
        "method": "POST",
        "status": 504,
        "error": "deadline_exceeded",
        "model": "m" * 63,
        "version": 123_456_789,
        "total_ms": 123_456.789,
        "decode_ms": 0.001,
        "queue_ms": 123_000.0,
        "execute_ms": None,
        "rest_ms": 456.788,
        "companions": 4095,
        "queue_position": 1_000_000,
    }
    document = {"window_s": 300, "slowest": [entry] * 12, "failed": [entry] * 3}
    with listening(store) as server:
        playground = open_page(server.url, color_scheme=scheme, **screen)
        playground.page.route(
            "**/v1/debug/requests",
            lambda route: route.fulfill(body=json.dumps(document), content_type="application/json"),
        )
        look(playground)
        expect(flights(playground, "Slowest")).to_have_count(10)
        expect(shown(playground)).to_contain_text("Slowest (10 of 12 kept)")
        playground.assert_accessible()
        playground.assert_fits_its_width()
        within = playground.page.evaluate(
            "[...document.querySelectorAll('.flights li')]"
            ".every((each) => each.scrollWidth <= each.clientWidth)"
        )
        assert within
