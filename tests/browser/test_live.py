"""The live panel draws what /metrics counts, while somebody looks."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from playwright.sync_api import Locator, Route, expect

from tests.api.live_server import LiveServer, listening
from tests.api.world import picture
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground


def chart(playground: Playground, title: str) -> Locator:
    return playground.live.locator(".chart").filter(has_text=title)


def test_pictures_of_anybody_are_counted_and_drawn(open_page: OpenPage, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store) as server:
        playground = open_page(server.url)
        rate = chart(playground, "Pictures per second")
        expect(rate.locator("strong")).to_have_text("0")
        for seed in range(10):
            httpx.post(f"{server.url}/v1/classify", content=picture(seed))
        expect(rate.locator("strong")).to_have_text(re.compile(r"^[1-9]"))
        expect(rate.get_by_role("img")).to_have_attribute(
            "aria-label", re.compile(r"^Pictures per second: now [\d.]+, at most [\d.]+$")
        )
        expect(rate.locator(".line")).to_have_attribute("d", re.compile(r"^M.*L.*L"))
        expect(chart(playground, "Pictures in a batch").locator("strong")).to_have_text("1.0")
        for time in chart(playground, "Time of an answer").locator("strong").all():
            expect(time).to_have_text(re.compile(r"^[\d.]+ m?s$"))


def test_waiting_pictures_and_states_are_shown(open_page: OpenPage, server: LiveServer) -> None:
    playground = open_page(server.url)
    rows = playground.live.get_by_role("row")
    expect(rows).to_have_count(4)
    assert rows.nth(1).inner_text().split() == ["cifar10", "2", "AVAILABLE"]
    assert rows.nth(3).inner_text().split() == ["flowers", "7", "AVAILABLE"]
    expect(chart(playground, "Pictures waiting").locator("strong")).to_have_text("0")


def test_nothing_is_asked_while_nobody_looks(open_page: OpenPage, server: LiveServer) -> None:
    playground = open_page(server.url)
    page = playground.page
    with page.expect_request("**/metrics"):
        pass
    page.clock.install()
    page.evaluate(
        """() => {
          window.isHidden = true;
          Object.defineProperty(document, "hidden", { get: () => window.isHidden });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    assert asked == []
    with page.expect_request("**/metrics"):
        page.evaluate(
            """() => {
              window.isHidden = false;
              document.dispatchEvent(new Event("visibilitychange"));
            }"""
        )


def test_figures_begin_anew_with_another_process(open_page: OpenPage, server: LiveServer) -> None:
    """It has counted more than the one before, so that its counts alone do not tell."""
    playground = open_page(server.url)
    readings = [(1.0, 10), (2.0, 100)]

    def metrics(route: Route) -> None:
        started_s, images = readings.pop(0) if len(readings) > 1 else readings[0]
        text = f'keraserve_images_total{{outcome="ok"}} {images}\n'
        route.fulfill(body=f"{text}process_start_time_seconds {started_s}\n")

    playground.page.route("**/metrics", metrics)
    playground.page.reload()
    rate = chart(playground, "Pictures per second")
    expect(rate.locator("strong")).to_have_text("0")
    expect(rate.locator(".most")).to_have_text("")
