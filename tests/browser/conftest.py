"""A real browser before a real server; every test also asserts what holds for each page.

The browser is Chromium: from ``CHROMIUM``, else from ``PATH``; without one the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.api.live_server import LiveServer, listening
from tests.api.samples_world import unlabelled
from tests.api.world import add_version
from tests.browser.playground import PATIENCE_MS, Playground

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def find_chromium() -> str | None:
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


# Ended with the tests of this folder: while it lives, asyncio takes its loop for a running one.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH, and CHROMIUM names none")
    expect.set_options(timeout=PATIENCE_MS)
    # Chromium's own sandbox does not start for root, as which containers often run tests.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One with two models and a version that is not the default; shared, so leave it as it is."""
    store = tmp_path_factory.mktemp("store")
    for version in (1, 2):
        add_version(store, "cifar10", version, samples=unlabelled())
    add_version(store, "flowers", 7, classes=("rose", "<b>tulip</b>"))
    (store / "labels.json").write_text('{"cifar10": {"stable": 2, "beta": 1}}', encoding="utf-8")
    with listening(store, models="cifar10:all,flowers", samples_dir=store / "none") as server:
        yield server


OpenPage = Callable[..., Playground]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[OpenPage]:
    """Opens pages of a server, and asserts at the end that all of them kept the rules."""
    opened: list[Playground] = []

    def open_page(url: str, **context: object) -> Playground:
        page = Playground.open(browser, url, tmp_path, **context)
        opened.append(page)
        return page

    yield open_page
    try:
        for page in opened:
            page.assert_kept_the_rules()
    finally:
        for page in opened:
            page.close()


@pytest.fixture
def playground(open_page: OpenPage, server: LiveServer) -> Playground:
    """The page of ``server``, ready."""
    return open_page(server.url)
