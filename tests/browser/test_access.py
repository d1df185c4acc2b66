"""API keys: asked for by the page where the server asks for one, kept no longer than the tab."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from app.access.caller import Scope
from app.access.keys_file import create_key
from tests.api.live_server import LiveServer, listening
from tests.api.world import picture
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground, Upload


class Guarded:
    def __init__(self, server: LiveServer, keys: dict[Scope, str]) -> None:
        self.server = server
        self.keys = keys


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    store, path = tmp_path / "store", tmp_path / "keys.json"
    store.mkdir()
    keys = {scope: create_key(path, scope.value, [scope]) for scope in Scope}
    with listening(store, api_keys_file=path) as server:
        yield Guarded(server, keys)


def key_form(playground: Playground) -> Locator:
    return playground.page.locator("#key-form")


def give(playground: Playground, key: str) -> None:
    playground.page.get_by_label("API key").fill(key)
    playground.page.get_by_role("button", name="Use this key").click()


def test_page_asks_for_a_key_and_works_with_it(open_page: OpenPage, guarded: Guarded) -> None:
    playground = open_page(guarded.server.url, is_waited_for=False)
    form = key_form(playground)
    expect(form).to_contain_text("The request carries no API key.")
    expect(form).to_contain_text("scope infer (KERASERVE_API_KEYS_FILE)")

    give(playground, "ks_wrong")
    expect(form).to_contain_text("The request's API key is not known, or no longer.")
    give(playground, guarded.keys[Scope.METRICS])
    expect(form).to_contain_text("The key metrics has the scope metrics")
    give(playground, guarded.keys[Scope.INFER])
    expect(form).to_be_hidden()
    expect(playground.model).to_be_enabled()
    playground.choose(Upload())
    expect(playground.bars).to_have_count(3)


def test_key_is_kept_until_the_tab_is_closed_and_no_longer(
    open_page: OpenPage, guarded: Guarded
) -> None:
    playground = open_page(guarded.server.url, is_waited_for=False)
    give(playground, guarded.keys[Scope.INFER])
    expect(playground.model).to_be_enabled()
    playground.page.reload()
    expect(playground.model).to_be_enabled()
    expect(key_form(playground)).to_be_hidden()

    kept = playground.page.evaluate("JSON.stringify(localStorage) + document.cookie")
    assert "ks_" not in kept
    assert "ks_" not in playground.page.url
    other = playground.page.context.new_page()
    other.goto(guarded.server.url)
    expect(other.locator("#key-form")).to_be_visible()


def test_picture_that_was_refused_is_classified_once_there_is_a_key(
    open_page: OpenPage, guarded: Guarded
) -> None:
    playground = open_page(guarded.server.url, is_waited_for=False)
    playground.choose(Upload())
    expect(playground.answer.get_by_role("alert")).to_contain_text("Unauthorized")
    give(playground, guarded.keys[Scope.INFER])
    expect(playground.bars).to_have_count(3)


def test_live_panel_says_so_where_metrics_are_not_allowed_and_draws_where_they_are(
    open_page: OpenPage, guarded: Guarded
) -> None:
    playground = open_page(guarded.server.url, is_waited_for=False)
    give(playground, guarded.keys[Scope.INFER])
    expect(playground.live).to_contain_text("this takes one with the scope metrics")
    expect(playground.live.locator(".chart").first).to_be_hidden()

    admin = open_page(guarded.server.url, is_waited_for=False)
    give(admin, guarded.keys[Scope.ADMIN])  # admin may all of it
    expect(admin.live.locator(".chart")).to_have_count(4)
    expect(admin.live.locator(".chart").first).to_be_visible()
    expect(admin.live).not_to_contain_text("scope metrics")


def test_live_panel_is_where_the_metrics_are(open_page: OpenPage, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store, admin_port=0) as server:
        playground = open_page(server.url, is_waited_for=False)
        expect(playground.live).to_contain_text("the admin port has it")
        expect(playground.live.locator(".chart").first).to_be_hidden()

        admin = open_page(f"http://127.0.0.1:{server.admin_port}", is_waited_for=False)
        expect(admin.live.locator(".chart").first).to_be_visible()
        playground.page.close()
        admin.page.close()


def test_copied_request_takes_the_key_from_the_environment(
    open_page: OpenPage, guarded: Guarded, tmp_path: Path
) -> None:
    playground = open_page(guarded.server.url, is_waited_for=False)
    key = guarded.keys[Scope.INFER]
    give(playground, key)
    expect(playground.model).to_be_enabled()
    (tmp_path / "cat.png").write_bytes(picture())
    playground.choose(Upload("cat.png"))
    expect(playground.bars).to_have_count(3)

    programs = {"curl": ("sh", b'"predictions"'), "Python": (sys.executable, b"%")}
    for language, (program, expected) in programs.items():
        command = playground.copy_request(language)
        assert key not in command
        assert "KERASERVE_API_KEY" in command
        ran = subprocess.run(
            [program, "-c", command], cwd=tmp_path, capture_output=True, timeout=30, check=True,
            env=os.environ | {"KERASERVE_API_KEY": key},
        )  # fmt: skip
        assert expected in ran.stdout


def test_key_that_no_request_can_carry_is_not_taken(open_page: OpenPage, guarded: Guarded) -> None:
    """Browsers refuse to send it at all, which would look like a server that breaks off."""
    playground = open_page(guarded.server.url, is_waited_for=False)
    give(playground, "ks_schlüssel")
    expect(playground.page.locator("#key:invalid")).to_have_count(1)
    expect(key_form(playground)).to_contain_text("The request carries no API key.")
    give(playground, f" {guarded.keys[Scope.INFER]} ")  # spaces come with copying
    expect(playground.model).to_be_enabled()
    expect(key_form(playground)).to_be_hidden()


def test_key_can_be_exchanged_for_one_that_may_more(open_page: OpenPage, guarded: Guarded) -> None:
    playground = open_page(guarded.server.url, is_waited_for=False)
    change = playground.page.get_by_role("button", name="Key", exact=True)
    expect(change).to_be_hidden()  # there is none yet
    give(playground, guarded.keys[Scope.INFER])
    playground.choose(Upload())
    expect(playground.bars).to_have_count(3)

    another = playground.live.get_by_role("button", name="Use another key")
    another.press("Enter")
    form, field = key_form(playground), playground.page.get_by_label("API key")
    expect(field).to_be_focused()
    playground.assert_accessible()
    form.get_by_role("button", name="Leave it as it is").press("Enter")
    expect(form).to_be_hidden()
    expect(another).to_be_focused()

    another.press("Enter")
    field.fill(guarded.keys[Scope.ADMIN])
    field.press("Enter")
    expect(playground.live.locator(".chart").first).to_be_visible()
    expect(playground.live).not_to_contain_text("scope metrics")
    expect(form).to_be_hidden()
    expect(playground.bars).to_have_count(3)


def test_key_can_be_given_back(open_page: OpenPage, guarded: Guarded) -> None:
    playground = open_page(guarded.server.url, is_waited_for=False)
    give(playground, guarded.keys[Scope.ADMIN])
    expect(playground.model).to_be_enabled()
    change = playground.page.get_by_role("button", name="Key", exact=True)
    change.click()
    key_form(playground).get_by_role("button", name="Forget the key").click()
    expect(key_form(playground)).to_contain_text("The request carries no API key.")
    expect(change).to_be_hidden()
    assert playground.page.evaluate("sessionStorage.length") == 0
