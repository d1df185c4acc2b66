"""The page before a server of its own process, with the models that the repository carries.

What it looks like is kept in ``data/screenshots`` for people to look at: pictures of ours and
generated ones, never of a data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import FloatRect, expect

from app.artifacts.labelled_samples import LabelledSamples, write_labelled_samples
from app.artifacts.manifest import read_manifest
from benchmarks.pictures import picture
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground, Upload
from tests.factories.images import encode, photo
from tests.keras.server_process import ROOT, Server, serving

SCREENSHOTS = ROOT / "data" / "screenshots"
PICTURES = ROOT / "docs" / "images"
SAMPLES = 60
A_LINE = re.compile(r"^M.*L.*L")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with generated samples for ``cifar10``, whose classes take turns whatever they show."""
    pytest.importorskip("openvino", reason="the models that the repository carries need an engine")
    folder = tmp_path_factory.mktemp("samples")
    newest = max((ROOT / "models" / "cifar10").glob("[0-9]*"), key=lambda path: int(path.name))
    classes = read_manifest(newest).classes
    images = np.stack([picture(seed) for seed in range(SAMPLES)])
    labels = np.arange(SAMPLES) % len(classes)
    write_labelled_samples(folder / "cifar10.npz", LabelledSamples(images, labels, classes))
    with serving("--samples-dir", str(folder), "--engine", "openvino") as server:
        server.wait_for("ready")
        yield server


def keep(playground: Playground, name: str, *, is_whole: bool = True) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    playground.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=is_whole)


def keep_for_readme(playground: Playground, name: str) -> None:
    """Keep the picture and its answer alone: the README shows nothing else."""
    box = playground.answer.bounding_box()
    assert box is not None
    size = playground.page.viewport_size
    assert size is not None
    bottom = box["y"] + box["height"]
    clip = FloatRect(x=0, y=0, width=size["width"], height=bottom + 24)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    playground.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, clip=clip)


def ours(name: str) -> Upload:
    return Upload(f"{name}.png", (PICTURES / f"{name}.png").read_bytes())


def draw_load(playground: Playground) -> None:
    """Wait until the live panel has drawn something."""
    line = playground.live.locator(".chart").first.locator(".line")
    expect(line).to_have_attribute("d", A_LINE)


def test_our_pictures_are_recognised_each_by_its_model(open_page: OpenPage, server: Server) -> None:
    playground = open_page(server.url)
    keep(playground, "empty")
    playground.page.get_by_role("button", name="Try the ship").click()
    expect(playground.bars.first).to_contain_text("ship")
    expect(playground.answer.locator(".verdict")).to_contain_text("cifar10")
    keep(playground, "ship-light")
    keep_for_readme(playground, "playground-light")
    playground.page.get_by_role("button", name="Try the sneaker").click()
    expect(playground.bars.first).to_contain_text("Sneaker")
    expect(playground.answer.locator(".verdict")).to_contain_text("fashion_mnist")


def test_pasted_screenshot_is_classified_as_if_it_were_uploaded(
    open_page: OpenPage, server: Server
) -> None:
    playground = open_page(server.url, color_scheme="dark")
    playground.choose(ours("ship"))
    expect(playground.bars.first).to_contain_text("ship")
    uploaded = playground.texts(playground.bars, ".score")
    playground.paste((PICTURES / "ship.png").read_bytes())
    expect(playground.answer.locator("figcaption")).to_contain_text("pasted.png")
    expect(playground.bars.first).to_contain_text("ship")
    assert playground.texts(playground.bars, ".score") == uploaded
    playground.answer.get_by_text("Copy as curl or Python").click()
    keep(playground, "ship-dark")
    keep_for_readme(playground, "playground-dark")


PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True,
         "device_scale_factor": 2}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "screen", "scheme"),
    [
        ("desk", {}, "light"),
        ("desk", {}, "dark"),
        ("phone", PHONE, "light"),
        ("wall", {"viewport": {"width": 3840, "height": 2160}}, "dark"),
    ],
)
def test_everything_at_once_looks_as_it_should(
    open_page: OpenPage, server: Server, name: str, screen: dict[str, object], scheme: str
) -> None:
    playground = open_page(server.url, color_scheme=scheme, **screen)
    playground.drop(
        ours("ship"),
        Upload("flower in the garden behind the house.jpg", encode(photo("flower"), "JPEG")),
        ours("sneaker"),
        Upload("notes.txt", b"no picture", "text/plain"),
        Upload("half.png", ours("ship").content[:9000]),
    )
    expect(playground.many.locator("#many-count")).to_contain_text("3 of 5 pictures")
    playground.samples.get_by_role("button", name="Classify these").click()
    expect(playground.samples.locator("#samples-count")).to_contain_text("of 48 right")
    playground.samples.locator(".tile.wrong").first.click()
    expect(playground.samples.locator(".verdict")).to_be_visible()
    for tile in playground.samples.locator(".tile").all()[::4]:
        tile.scroll_into_view_if_needed()  # a picture is loaded once it comes into sight
    expect(playground.samples.locator(".tile img[src]")).to_have_count(48)
    draw_load(playground)
    playground.page.evaluate("scrollTo(0, 0)")
    playground.assert_accessible()
    playground.assert_fits_its_width()
    keep(playground, f"all-{name}-{scheme}")


def test_errors_look_calm(open_page: OpenPage, server: Server) -> None:
    playground = open_page(server.url)
    playground.choose(Upload("notes.txt", b"no picture", "text/plain"))
    expect(playground.answer.get_by_role("alert")).to_be_visible()
    keep(playground, "error", is_whole=False)
