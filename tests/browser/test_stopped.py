"""A run over many pictures that somebody has stopped stays so until they go on with it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from app.access.caller import Scope
from app.access.keys_file import create_key
from tests.api.live_server import LiveServer, listening
from tests.api.world import add_version
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground, Upload, uploads

SLOW = {"max_batch_size": 1, "max_images_per_request": 1}
STOPPED = "2 of 12 pictures classified, stopped"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    add_version(store)
    return store


def stop_after_two(playground: Playground, server: LiveServer) -> None:
    """Drop twelve pictures, and stop when two of them are answered."""
    puppet = server.puppets["cifar10:1"]
    before = len(puppet.executed)
    puppet.hold()
    playground.drop(*uploads(12))
    puppet.wait_began(before + 1)
    puppet.release(2)
    expect(count(playground)).to_have_text("2 of 12 pictures classified")
    button(playground, "Stop").click()
    expect(count(playground)).to_have_text(STOPPED)
    puppet.let_go()


def count(playground: Playground) -> Locator:
    return playground.many.locator("#many-count")


def button(playground: Playground, name: str) -> Locator:
    return playground.many.get_by_role("button", name=name, exact=True)


def assert_still_stopped(playground: Playground) -> None:
    expect(playground.rows.filter(has_text="Waiting")).to_have_count(10)
    expect(count(playground)).to_have_text(STOPPED)
    expect(button(playground, "Go on")).to_be_visible()


def test_another_version_leaves_it_stopped_and_answers_all_once_it_goes_on(
    open_page: OpenPage, store: Path
) -> None:
    with listening(store, **SLOW) as server:
        playground = open_page(server.url)
        stop_after_two(playground, server)
        # One that comes by itself, and one that somebody chooses.
        add_version(store, version=2)
        expect(playground.version.locator("option").first).to_have_text("Default (2)")
        assert_still_stopped(playground)
        playground.version.select_option("Version 2")
        assert_still_stopped(playground)
        button(playground, "Go on").click()
        expect(count(playground)).to_have_text("12 of 12 pictures classified")
        with playground.page.expect_download() as download:
            button(playground, "Download CSV").click()
        text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
        assert [row["version"] for row in csv.DictReader(io.StringIO(text))] == ["2"] * 12


def test_server_that_is_back_leaves_it_stopped(open_page: OpenPage, store: Path) -> None:
    with listening(store, **SLOW) as server:
        playground = open_page(server.url)
        stop_after_two(playground, server)
        port = server.port
    notice = playground.page.get_by_role("alert").filter(has_text="The server is gone.")
    expect(notice).to_be_visible()
    with listening(store, on_port=port, **SLOW):
        expect(notice).to_be_hidden()
        with playground.page.expect_request("**/metrics"):  # all has begun again
            pass
        assert_still_stopped(playground)
        button(playground, "Go on").click()
        expect(count(playground)).to_have_text("12 of 12 pictures classified")


def test_another_key_leaves_it_stopped(open_page: OpenPage, store: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key, other = create_key(keys, "app", [Scope.INFER]), create_key(keys, "all", list(Scope))
    with listening(store, api_keys_file=keys, **SLOW) as server:
        playground = open_page(server.url, is_waited_for=False)
        playground.page.get_by_label("API key").fill(key)
        playground.page.keyboard.press("Enter")
        expect(playground.model).to_be_enabled()
        stop_after_two(playground, server)
        playground.page.get_by_role("button", name="Key", exact=True).click()
        playground.page.get_by_label("API key").fill(other)
        playground.page.keyboard.press("Enter")
        expect(playground.live.locator(".chart").first).to_be_visible()
        assert_still_stopped(playground)


def test_single_picture_can_be_tried_again_meanwhile(open_page: OpenPage, store: Path) -> None:
    with listening(store, **SLOW) as server:
        playground = open_page(server.url)
        puppet = server.puppets["cifar10:1"]
        before = len(puppet.executed)
        puppet.hold()
        playground.drop(Upload("broken.png", b"no picture"), *uploads(11))
        puppet.wait_began(before + 1)
        expect(count(playground)).to_have_text("0 of 12 pictures classified, 1 failed")
        button(playground, "Stop").click()
        puppet.let_go()
        with playground.page.expect_response("**/v1/classify?**"):
            playground.answer.get_by_role("button", name="Try again").click()
        expect(count(playground)).to_have_text("0 of 12 pictures classified, 1 failed, stopped")
        expect(playground.rows.filter(has_text="Waiting")).to_have_count(11)
        button(playground, "Go on").click()
        expect(count(playground)).to_have_text("11 of 12 pictures classified, 1 failed")


def test_what_waits_is_not_downloaded_with_what_another_version_said(
    open_page: OpenPage, store: Path
) -> None:
    add_version(store, version=2)
    with listening(store, models="cifar10:all", **SLOW) as server:
        playground = open_page(server.url)
        playground.drop(*uploads(3))
        expect(count(playground)).to_have_text("3 of 3 pictures classified")
        puppet = server.puppets["cifar10:1"]
        before = len(puppet.executed)
        puppet.hold()
        playground.version.select_option("Version 1")
        puppet.wait_began(before + 1)
        button(playground, "Stop").click()
        with playground.page.expect_download() as download:
            button(playground, "Download CSV").click()
        text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
        assert [row["label_1"] for row in csv.DictReader(io.StringIO(text))] == ["", "", ""]
