"""The server is gone, and is back: the page says so and goes on by itself."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.api.live_server import listening
from tests.api.world import add_version
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground, Upload, uploads
from tests.factories.versions import Defect, make_version


def test_page_says_that_the_server_is_gone_and_goes_on_when_it_is_back(
    open_page: OpenPage, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    add_version(store)
    with listening(store) as server:
        playground = open_page(server.url)
        expect(playground.server_state).to_have_text("Ready")
        playground.choose(Upload())
        expect(playground.bars).to_have_count(3)
        port = server.port
    notice = playground.page.get_by_role("alert").filter(has_text="The server is gone.")
    # The live panel notices it without anybody doing anything.
    expect(notice).to_be_visible()
    expect(playground.server_state).to_have_text("Gone")
    playground.choose(Upload("later.png"))
    expect(playground.answer).to_contain_text("The server does not answer.")
    add_version(store, version=2)
    with listening(store, on_port=port):
        # What could not be asked is asked now, and what is new is known.
        expect(playground.bars).to_have_count(3)
        expect(playground.answer.locator("figcaption")).to_contain_text("later.png")
        expect(playground.answer.locator(".verdict")).to_have_text("cifar10, version 2")
        expect(notice).to_be_hidden()
        expect(playground.server_state).to_have_text("Ready")
        expect(playground.version.locator("option").first).to_have_text("Default (2)")


def test_pictures_that_had_not_had_their_turn_go_on_too(playground: Playground) -> None:
    """The connection breaks and is back while others of the same run are on their way."""
    is_back = False
    asked = 0

    def classify(route: Route) -> None:
        nonlocal asked
        asked += 1
        if is_back:
            route.continue_()
        elif asked == 1:
            route.abort("connectionreset")

    def alive(route: Route) -> None:
        nonlocal is_back
        if is_back:
            route.continue_()
        else:
            is_back = True
            route.abort("connectionrefused")

    playground.page.route(re.compile(r"/v1/classify\?"), classify)
    playground.page.route("**/livez", alive)
    playground.drop(*uploads(8))
    count = playground.many.locator("#many-count")
    expect(count).to_have_text("8 of 8 pictures classified")
    assert asked > 8


def test_new_version_is_in_the_chooser_without_a_reload(
    open_page: OpenPage, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    add_version(store)
    with listening(store) as server:
        playground = open_page(server.url)
        expect(playground.live.get_by_role("row")).to_have_count(2)
        add_version(store, version=2)
        expect(playground.version.locator("option").first).to_have_text("Default (2)")
        expect(playground.live.get_by_role("row").nth(1)).to_contain_text("AVAILABLE")


def test_server_that_is_not_ready_says_why(open_page: OpenPage, tmp_path: Path) -> None:
    store = tmp_path / "store"
    add_version(store)
    make_version(store, "birds", defect=Defect.WRONG_SHA256)
    with listening(store) as server:
        playground = open_page(server.url)
        expect(playground.server_state).to_have_text("Not ready")
        reasons = playground.page.get_by_role("list", name="Why the server is not ready")
        expect(reasons).to_contain_text("birds: version 1 is FAILED: 'model.keras' has SHA-256")
        playground.assert_fits_its_width()
        playground.assert_accessible()
        playground.model.select_option("birds")
        expect(playground.version.locator("option").last).to_have_text("Version 1: FAILED")
        expect(playground.version.locator("option").last).to_be_disabled()
        expect(playground.live.get_by_role("row", name="birds")).to_contain_text("FAILED")
