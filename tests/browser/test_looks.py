"""Light and dark, phone and wall, keyboard and screen reader."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.api.live_server import LiveServer
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground, Upload, uploads

Screenshot = Callable[[Playground, str], None]

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
WALL = {"viewport": {"width": 3840, "height": 2160}}


def background(playground: Playground) -> str:
    color: str = playground.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return color


def is_dark(playground: Playground) -> bool:
    red, green, blue = background(playground).removeprefix("rgb(").removesuffix(")").split(", ")
    return int(red) + int(green) + int(blue) < 3 * 128


def busy(playground: Playground) -> Playground:
    """Bring everything onto the page that it can show."""
    playground.drop(*uploads(3), Upload("broken.png", b"no picture"))
    expect(playground.many.locator("#many-count")).to_contain_text("3 of 4 pictures")
    playground.answer.get_by_text("Copy as curl or Python").click()
    return playground


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_the_systems_until_somebody_chooses_and_then_stay(
    open_page: OpenPage, server: LiveServer, scheme: str
) -> None:
    playground = open_page(server.url, color_scheme=scheme)
    begun_dark = scheme == "dark"
    assert is_dark(playground) is begun_dark
    button = playground.page.get_by_role("button", name="Dark")
    expect(button).to_have_attribute("aria-pressed", str(begun_dark).lower())
    button.click()
    assert is_dark(playground) is not begun_dark
    playground.page.reload()
    assert is_dark(playground) is not begun_dark
    expect(button).to_have_attribute("aria-pressed", str(not begun_dark).lower())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [{}, PHONE, WALL], ids=["desk", "phone", "wall"])
def test_page_is_accessible_and_fits(
    open_page: OpenPage, server: LiveServer, scheme: str, screen: dict[str, object]
) -> None:
    playground = open_page(server.url, color_scheme=scheme, **screen)
    playground.assert_accessible()
    playground.assert_fits_its_width()
    busy(playground)
    playground.assert_accessible()
    playground.assert_fits_its_width()
    playground.many.get_by_role("button", name="broken.png").click()
    expect(playground.answer.get_by_role("alert")).to_be_visible()
    playground.assert_accessible()
    playground.assert_fits_its_width()


def test_page_is_accessible_before_anything_is_known_of_the_server(
    open_page: OpenPage, server: LiveServer
) -> None:
    playground = open_page(server.url, is_waited_for=False)
    # As if nothing was ever answered.
    playground.page.route("**/{v1,metrics,readyz}**", lambda route: None)
    playground.page.reload()
    expect(playground.server_state).to_have_text("Asking the server …")
    playground.assert_accessible()
    playground.assert_fits_its_width()


def test_long_names_do_not_widen_the_page(open_page: OpenPage, server: LiveServer) -> None:
    playground = open_page(server.url, **PHONE)
    playground.drop(Upload(f"{'long' * 50}.png"), Upload("broken" * 30, b"no picture"))
    expect(playground.many.locator("#many-count")).to_contain_text("1 of 2 pictures")
    playground.assert_fits_its_width()


def test_everything_can_be_done_with_the_keyboard_alone(playground: Playground) -> None:
    keyboard, focused = playground.page.keyboard, playground.page.locator(":focus")

    def tab_to(name: str) -> None:
        for _ in range(40):
            keyboard.press("Tab")
            if name in (focused.get_attribute("aria-label") or focused.inner_text()):
                return
        raise AssertionError(f"{name} is not reached")

    keyboard.press("Tab")
    expect(focused).to_have_text("Skip to the pictures")
    expect(focused).to_be_in_viewport()
    keyboard.press("Enter")
    tab_to("Try the ship")
    outline = focused.evaluate("(element) => getComputedStyle(element).outlineStyle")
    assert outline == "solid"
    keyboard.press("Enter")
    expect(playground.bars).to_have_count(3)
    keyboard.press("Tab")
    expect(focused).to_have_attribute("aria-label", "Try the sneaker")
    keyboard.press("Tab")
    expect(focused).to_have_attribute("id", "model")
    keyboard.press("ArrowDown")
    expect(playground.answer.locator(".verdict")).to_have_text("flowers, version 7")
    tab_to("Copy as curl or Python")
    keyboard.press("Enter")
    tab_to("Python")
    keyboard.press("Space")
    expect(playground.answer.locator("pre")).to_contain_text("import httpx")


def test_page_works_where_nothing_can_be_stored(
    browser: Browser, open_page: OpenPage, server: LiveServer
) -> None:
    playground = open_page(server.url)
    playground.page.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"]) {
          const get = () => { throw new DOMException("", "SecurityError"); };
          Object.defineProperty(window, name, { get });
        }"""
    )
    playground.page.reload()
    expect(playground.model).to_be_enabled()
    playground.page.get_by_role("button", name="Dark").click()
    assert is_dark(playground)
    playground.choose(Upload())
    expect(playground.bars).to_have_count(3)


def test_bars_are_seen_where_the_system_takes_all_colours(
    open_page: OpenPage, server: LiveServer
) -> None:
    playground = open_page(server.url, forced_colors="active")
    playground.choose(Upload())
    expect(playground.bars).to_have_count(3)
    colours = [
        playground.bars.first.locator(part).evaluate(
            "(element) => getComputedStyle(element).backgroundColor"
        )
        for part in (".track", ".track i")
    ]
    assert colours[0] != colours[1]
