"""The model's own samples: pages, classes, and what the model makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from app.access.caller import Scope
from app.access.keys_file import create_key
from app.types import ImageArray, ScoreArray
from tests.api.live_server import LiveServer, listening
from tests.api.samples_world import labelled, put, unlabelled
from tests.api.world import CLASSES, add_version
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground
from tests.factories.versions import Defect, make_version

COUNT = 130  # two pages and a part
DOG = CLASSES.index("dog")


def says_dog(images: ImageArray) -> ScoreArray:
    scores = np.zeros((len(images), len(CLASSES)), np.float32)
    scores[:, DOG] = 1
    return scores


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[LiveServer]:
    """Samples that are cat, dog, frog in turn, and a model that takes all of them for dogs."""
    put(tmp_path, labelled(COUNT))
    add_version(tmp_path / "store", samples=unlabelled())
    with listening(tmp_path / "store", samples_dir=tmp_path / "samples") as server:
        server.puppets["cifar10:1"].behave = says_dog
        yield server


def tiles(playground: Playground) -> Locator:
    return playground.samples.get_by_role("list").first.get_by_role("button")


def test_samples_are_shown_with_their_classes(open_page: OpenPage, gallery: LiveServer) -> None:
    playground = open_page(gallery.url)
    expect(playground.samples.locator("#samples-count")).to_have_text(
        "130 labelled pictures: click one"
    )
    expect(tiles(playground)).to_have_count(48)
    assert [tiles(playground).nth(index).inner_text() for index in range(3)] == list(CLASSES)


def test_images_are_loaded_once_they_come_into_sight(
    open_page: OpenPage, gallery: LiveServer
) -> None:
    playground = open_page(gallery.url, viewport={"width": 360, "height": 300})
    last = tiles(playground).last
    expect(last).to_be_attached()
    expect(playground.server_state).to_have_text("Ready")
    assert not any(path.endswith("/samples/47/image") for path in gallery.begun)
    last.scroll_into_view_if_needed()
    expect(last.locator("img[src^='blob:']")).to_be_visible()
    assert any(path.endswith("/samples/47/image") for path in gallery.begun)


def test_clicked_sample_is_classified_and_marked(open_page: OpenPage, gallery: LiveServer) -> None:
    playground = open_page(gallery.url)
    shown = playground.samples.get_by_role("group", name="The sample that was clicked")
    tiles(playground).nth(1).click()
    expect(tiles(playground).nth(1)).to_have_accessible_name("Sample 1, dog: right")
    expect(shown.locator(".verdict")).to_contain_text("✓ Right")
    expect(shown.locator(".bars li").first).to_contain_text("100.0 %")

    tiles(playground).nth(2).click()
    expect(tiles(playground).nth(2)).to_have_accessible_name(
        "Sample 2, actual frog, predicted dog: wrong"
    )
    expect(tiles(playground).nth(2)).to_have_text("frog✗ says dog")
    expect(shown.locator(".verdict")).to_contain_text("✗ Wrong")
    expect(shown.locator(".verdict")).to_contain_text("it really is: frog")
    expect(playground.samples.locator("#samples-count")).to_have_text("1 of 2 right (50.0 %)")
    playground.assert_accessible()


def test_whole_page_of_samples_is_classified(open_page: OpenPage, gallery: LiveServer) -> None:
    playground = open_page(gallery.url)
    playground.samples.get_by_role("button", name="Classify these").click()
    expect(playground.samples.locator("#samples-count")).to_have_text("16 of 48 right (33.3 %)")
    expect(playground.samples.locator(".tile.right")).to_have_count(16)
    expect(playground.samples.locator(".tile.wrong")).to_have_count(32)


def test_answer_is_in_sight_on_a_phone_too(open_page: OpenPage, gallery: LiveServer) -> None:
    playground = open_page(gallery.url, viewport={"width": 360, "height": 740})
    shown = playground.samples.get_by_role("group", name="The sample that was clicked")
    for index in (20, 40):
        tiles(playground).nth(index).press("Enter")
        expect(shown.locator("figcaption")).to_contain_text(f"Sample {index}")
        expect(shown.locator(".bars li")).to_have_count(3)
        expect(shown.locator("figcaption")).to_be_in_viewport(ratio=1)
        expect(shown.locator(".bars")).to_be_in_viewport(ratio=1)


def test_click_on_a_sample_does_not_end_the_run_over_the_page(
    open_page: OpenPage, gallery: LiveServer
) -> None:
    playground = open_page(gallery.url)
    puppet = gallery.puppets["cifar10:1"]
    expect(tiles(playground)).to_have_count(48)
    before = len(puppet.executed)
    puppet.hold()
    all_of_them = playground.samples.get_by_role("button", name="Classify these")
    all_of_them.click()
    puppet.wait_began(before + 1)
    # One that is under way already, and one that has not had its turn: nor ends a click another.
    for index in (0, 40):
        tiles(playground).nth(index).click()
        expect(all_of_them).to_be_disabled()
    puppet.let_go()
    expect(playground.samples.locator(".verdict")).to_contain_text("it really is: dog")
    expect(playground.samples.locator(".tile.right")).to_have_count(16)
    expect(playground.samples.locator(".tile.wrong")).to_have_count(32)
    expect(playground.samples.locator("#samples-count")).to_have_text("16 of 48 right (33.3 %)")
    expect(all_of_them).to_be_enabled()


def test_one_class_alone_can_be_looked_at(open_page: OpenPage, gallery: LiveServer) -> None:
    playground = open_page(gallery.url)
    playground.samples.get_by_role("combobox", name="Class").select_option("frog")
    expect(tiles(playground)).to_have_count(43)
    expect(tiles(playground).filter(has_text="frog")).to_have_count(43)
    expect(tiles(playground).first).to_have_accessible_name("Sample 2, frog")
    expect(playground.samples.get_by_role("navigation")).to_be_hidden()
    playground.samples.get_by_role("combobox", name="Class").select_option("All")
    expect(tiles(playground)).to_have_count(48)


def test_classes_can_be_chosen_once_the_model_has_become_ready(
    open_page: OpenPage, tmp_path: Path
) -> None:
    put(tmp_path, labelled(COUNT))
    store = tmp_path / "store"
    make_version(store, defect=Defect.WRONG_SHA256)
    with listening(store, samples_dir=tmp_path / "samples") as server:
        playground = open_page(server.url)
        expect(playground.model.locator("option")).to_have_text("cifar10 (not ready)")
        add_version(store, version=2, samples=unlabelled())
        classes = playground.samples.get_by_role("combobox", name="Class")
        expect(classes.locator("option")).to_have_text(["All", *CLASSES])
        classes.select_option("frog")
        expect(tiles(playground)).to_have_count(43)
        # The choice stays when another version of the same classes takes over.
        add_version(store, version=3, samples=unlabelled())
        expect(playground.version.locator("option").first).to_have_text("Default (3)")
        expect(classes).to_have_value("frog")
        expect(tiles(playground)).to_have_count(43)


def test_pages_can_be_turned_to_the_end_and_back(open_page: OpenPage, gallery: LiveServer) -> None:
    playground = open_page(gallery.url)
    pages = playground.samples.get_by_role("navigation", name="Pages of samples")
    before, after = (pages.get_by_role("button", name=name) for name in ("Previous", "Next"))
    expect(pages).to_contain_text("1–48 of 130")
    expect(before).to_be_disabled()
    after.click()
    expect(pages).to_contain_text("49–96 of 130")
    expect(tiles(playground).first).to_have_accessible_name("Sample 48, cat")
    after.click()
    expect(pages).to_contain_text("97–130 of 130")
    expect(tiles(playground)).to_have_count(34)
    expect(after).to_be_disabled()
    before.click()
    expect(pages).to_contain_text("49–96 of 130")
    # What is not shown any more is not kept.
    expect(tiles(playground).first.locator("img[src^='blob:']")).to_be_visible()
    assert playground.held_pictures <= 48


def test_without_samples_the_page_says_how_to_get_them(open_page: OpenPage, tmp_path: Path) -> None:
    add_version(tmp_path / "store", samples=unlabelled())
    with listening(tmp_path / "store", samples_dir=tmp_path / "none") as server:
        playground = open_page(server.url)
        expect(playground.samples).to_contain_text("make samples")
        expect(playground.samples).to_contain_text("404 samples_unavailable · request ")
        expect(tiles(playground)).to_have_count(0)
        # It is nobody's fault: nothing shouts.
        expect(playground.samples.get_by_role("alert")).to_have_count(0)


def test_samples_take_the_key_too(open_page: OpenPage, tmp_path: Path) -> None:
    put(tmp_path, labelled(5))
    add_version(tmp_path / "store", samples=unlabelled())
    keys = tmp_path / "keys.json"
    key = create_key(keys, "app", [Scope.INFER])
    with listening(
        tmp_path / "store", samples_dir=tmp_path / "samples", api_keys_file=keys
    ) as server:
        playground = open_page(server.url, is_waited_for=False)
        playground.page.get_by_label("API key").fill(key)
        playground.page.keyboard.press("Enter")
        expect(tiles(playground)).to_have_count(5)
        expect(tiles(playground).locator("img[src^='blob:']")).to_have_count(5)
        tiles(playground).first.click()
        expect(playground.samples.locator(".verdict")).to_contain_text("it really is: cat")
        copied = playground.samples.locator("pre")
        expect(copied).to_contain_text("/v1/models/cifar10/samples/0/predict")
