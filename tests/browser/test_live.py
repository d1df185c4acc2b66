"""The live panel draws what /metrics counts, while somebody looks."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
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


def metrics_of(started_s: float, images: int, model: str) -> str:
    return (
        f'keraserve_images_total{{outcome="ok"}} {images}\n'
        f"process_start_time_seconds {started_s}\n"
        f'keraserve_model_state{{model="{model}",version="1",state="AVAILABLE"}} 1\n'
    )


def look_away_and_back(playground: Playground) -> None:
    """Hide the page for a moment, which ends a round of the panel and begins another one."""
    playground.page.evaluate(
        """() => {
          for (const isHidden of [true, false]) {
            Object.defineProperty(document, "hidden", { get: () => isHidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
          }
        }"""
    )


@pytest.mark.parametrize("status", [200, 403])
def test_answer_of_an_earlier_round_changes_nothing(
    open_page: OpenPage, server: LiveServer, status: int
) -> None:
    """It is slow, and meanwhile another round has begun, and knows better."""
    playground = open_page(server.url)
    page, held = playground.page, list[Route]()
    states = playground.live.get_by_role("row")

    def metrics(route: Route) -> None:
        if held:
            route.fulfill(body=metrics_of(1.0, 5, "newer"))
        else:
            held.append(route)

    page.route("**/metrics", metrics)
    with page.expect_request("**/metrics"):
        page.reload()
    expect(playground.model).to_be_enabled()
    page.evaluate(
        """() => {
          window.seen = [];
          const live = document.getElementById("live");
          const note = () => window.seen.push(live.textContent);
          new MutationObserver(note).observe(live, { childList: true, subtree: true });
        }"""
    )
    look_away_and_back(playground)
    expect(states.nth(1)).to_contain_text("newer")

    with page.expect_response(lambda response: "older" in response.text()):
        held[0].fulfill(status=status, body=metrics_of(2.0, 900, "older"))
    for _ in range(2):  # the first one may have been on its way already
        with page.expect_request("**/metrics"):
            pass
    seen: list[str] = page.evaluate("window.seen")
    assert any("newer" in text for text in seen)
    assert not any("older" in text or "403" in text for text in seen)
    expect(chart(playground, "Pictures per second")).to_be_visible()


def test_round_that_was_overtaken_does_not_go_on(open_page: OpenPage, server: LiveServer) -> None:
    """Else each look at another tab, while one is under way, would add a reader."""
    playground = open_page(server.url)
    page, asked = playground.page, list[str]()
    page.clock.install()
    page.route("**/metrics", lambda route: route.fulfill(status=403, json={"title": "Forbidden"}))
    page.reload()
    expect(playground.live).to_contain_text("Forbidden")  # from now on it asks for readiness
    page.evaluate(
        """() => {
          const { fetch } = window;
          window.held = [];
          window.fetch = (...given) => String(given[0]).endsWith("/readyz")
            ? new Promise((resolve) => held.push(() => fetch(...given).then(resolve)))
            : fetch(...given);
          window.letGo = () => {
            window.fetch = fetch;
            return Promise.all(held.map((go) => go()));
          };
        }"""
    )
    page.clock.run_for(5000)
    for _ in range(2):
        look_away_and_back(playground)
    assert page.evaluate("held.length") == 3
    page.evaluate("letGo().then(() => null)")
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(2):
        with page.expect_response("**/readyz"):
            page.clock.run_for(5000)
    assert [url for url in asked if url.endswith("/readyz")] == 2 * [f"{server.url}/readyz"]


def test_times_are_of_what_was_answered_not_of_refusals(
    open_page: OpenPage, server: LiveServer
) -> None:
    playground = open_page(server.url)
    times = chart(playground, "Time of an answer").locator("strong")
    expect(times.first).to_have_text("–")
    for _ in range(5):
        answer = httpx.post(f"{server.url}/v1/classify", content=b"no picture")
        assert answer.status_code == 415
    for _ in range(3):  # the second one is of a reading that has all of them
        with playground.page.expect_request("**/metrics"):
            pass
    assert times.all_inner_texts() == ["–", "–"]
    httpx.post(f"{server.url}/v1/classify", content=picture())
    expect(times.last).to_have_text(re.compile(r"^[\d.]+ m?s$"))
    expect(playground.live).to_contain_text("times are of pictures that were answered, not refused")
