"""The names of the classes that the repository carries, whole on every screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from app.artifacts.labelled_samples import LabelledSamples
from app.artifacts.manifest import read_manifest
from app.types import ImageArray, ScoreArray
from tests.api.live_server import listening
from tests.api.samples_world import put, unlabelled
from tests.api.world import add_version
from tests.browser.conftest import OpenPage
from tests.browser.playground import Upload

MODELS = Path(__file__).parents[2] / "models"
# Columns come with every few dozen pixels, and are narrowest where they do.
WIDTHS_PX = range(360, 3841, 10)

# Words that go on in the next line, or beyond what holds them.
_BROKEN = """
() => {
  const broken = new Set();
  for (const holder of document.querySelectorAll(".tile .said, .bars .label")) {
    if (holder.scrollWidth > holder.clientWidth) broken.add(holder.textContent);
    const texts = document.createTreeWalker(holder, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      for (const { 0: word, index } of text.data.matchAll(/\\S+/g)) {
        const range = document.createRange();
        range.setStart(text, index);
        range.setEnd(text, index + word.length);
        const lines = new Set([...range.getClientRects()].map(({ top }) => Math.round(top)));
        if (lines.size > 1) broken.add(word);
      }
    }
  }
  return [...broken];
}
"""


def says_next(images: ImageArray) -> ScoreArray:
    """Name the class that the first pixel has."""
    classes = 10
    return np.eye(classes, dtype=np.float32)[images[:, 0, 0, 0] % classes]


@pytest.mark.parametrize("model", ["cifar10", "fashion_mnist"])
def test_no_label_of_a_shipped_model_breaks_on_any_screen(
    open_page: OpenPage, tmp_path: Path, model: str
) -> None:
    newest = max((MODELS / model).glob("[0-9]*"), key=lambda path: int(path.name))
    classes = read_manifest(newest).classes
    labels = np.arange(48) % len(classes)
    images = np.zeros((48, 4, 4, 3), np.uint8)
    images[:, 0, 0, 0] = (labels + 1) % len(classes)
    put(tmp_path, LabelledSamples(images, labels, classes))
    add_version(tmp_path / "store", classes=classes, samples=unlabelled(classes))
    with listening(tmp_path / "store", samples_dir=tmp_path / "samples") as server:
        server.puppets["cifar10:1"].behave = says_next
        playground = open_page(server.url)
        playground.page.get_by_role("combobox", name="Show").select_option("all labels")
        playground.choose(Upload())
        expect(playground.bars).to_have_count(len(classes))
        playground.samples.get_by_role("button", name="Classify these").click()
        expect(playground.samples.locator(".tile.wrong")).to_have_count(48)
        playground.samples.locator(".tile").first.click()
        expect(playground.samples.locator(".bars li")).to_have_count(len(classes))
        said = set(playground.texts(playground.samples, ".tile .class"))
        assert said == set(classes)
        broken: dict[int, list[str]] = {}
        for width in WIDTHS_PX:
            playground.page.set_viewport_size({"width": width, "height": 800})
            if found := playground.page.evaluate(_BROKEN):
                broken[width] = found
        assert broken == {}
