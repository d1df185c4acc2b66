from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

from app.artifacts.manifest import Gate, GateCheck
from tests.factories.studies import NAMES, described, make_gate
from tests.factories.versions import make_manifest
from training.evaluation.report_page import render_page
from training.evaluation.study import Study

MARKUP = "<script>alert(1)</script>"


class TagCollector(HTMLParser):
    """Remembers every tag with its attributes and all text, and that each tag is closed."""

    VOID = frozenset({"meta", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.words.append(data)

    @property
    def headings(self) -> list[str]:
        """What the ``h2`` say, in order."""
        return self._headings

    def feed(self, data: str) -> None:
        super().feed(data)
        self._headings = re.findall(r"<h2>(.*?)</h2>", data)


def parse(page: str) -> TagCollector:
    collector = TagCollector()
    collector.feed(page)
    assert collector.open == []
    return collector


def test_page_stands_alone(written: Path) -> None:
    text = (written / "report.html").read_text()
    page = parse(text)

    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 6
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?://|url\(|@import", text)


def test_page_tells_the_verdict_first_and_the_configuration_last(written: Path) -> None:
    text = (written / "report.html").read_text()

    assert parse(text).headings == [
        "Gate",
        "Figures",
        "Classes",
        "Confusion matrix",
        "Calibration",
        "Robustness",
        "Most confident mistakes",
        "Sample predictions",
        "Training curves",
        "Facts",
        "Configuration",
    ]
    assert text.index("Passed.") < text.index("<h2>Gate</h2>")


def test_page_shows_the_facts_to_repeat_the_run(study: Study) -> None:
    manifest = described()
    page = render_page(manifest, study, {})

    record = manifest.training
    for fact in (record.dataset, record.dataset_fingerprint, record.command, record.hardware):
        assert fact in page
    assert "&quot;epochs&quot;: 1" in page


def test_page_escapes_what_it_did_not_write(study: Study) -> None:
    manifest = described()
    record = manifest.training.model_copy(
        update={"hardware": MARKUP, "command": '"' + MARKUP, "config": {"name": MARKUP}}
    )

    page = render_page(
        manifest.model_copy(update={"training": record}),
        study,
        {},
        hardware=MARKUP,
        notes=[MARKUP],
    )

    parse(page)
    assert MARKUP not in page
    assert "&lt;b&gt;&amp;" in page


def test_page_of_a_passed_gate_says_so(study: Study) -> None:
    page = render_page(described(), study, {})

    assert "<b>Passed.</b> All 2 checks of the gate hold." in page


def test_page_of_a_forced_version_names_what_failed(study: Study) -> None:
    manifest = make_manifest(classes=NAMES, gate=make_gate(passed=False))

    words = parse(render_page(manifest, study, {})).words

    assert "Not passed; published by force." in words
    assert " Failed: Test accuracy." in words


def test_limits_of_the_gate_are_floors_or_ceilings(study: Study) -> None:
    words = parse(render_page(described(), study, {})).words

    assert "≤ 0" in words  # weights that are NaN
    assert "≥ 80.00%" in words  # test accuracy


def test_unknown_check_is_shown_as_a_floor_under_its_own_name(study: Study) -> None:
    gate = Gate(passed=True, checks=(GateCheck(name="new_idea", value=3.5, limit=2, passed=True),))

    words = parse(render_page(make_manifest(classes=NAMES, gate=gate), study, {})).words

    assert {"new idea", "3.5", "≥ 2"} <= set(words)


def test_top5_is_shown_only_where_it_says_something(study: Study, many: Study) -> None:
    names = tuple(scores.label for scores in many.evaluation.classes)

    assert "op-5" not in render_page(described(), study, {})
    assert "Top-5 accuracy" in render_page(described(names), many, {})


def test_long_table_of_classes_is_folded_behind_the_weakest(many: Study) -> None:
    names = tuple(scores.label for scores in many.evaluation.classes)

    page = render_page(described(names), many, {})

    assert "All 40 classes" in page
    assert "The 10 classes with the lowest F1:" in page


def test_temperature_is_told_with_both_errors(study: Study) -> None:
    before = f"{study.uncalibrated.expected_calibration_error:.4f}"
    after = f"{study.evaluation.expected_calibration_error:.4f}"

    page = render_page(described(), study, {})

    assert f"Temperature {study.temperature:.4g} brings" in page
    assert f"from {before} to {after}." in page


def test_page_names_the_images_behind_its_figures(study: Study) -> None:
    words = " ".join(parse(render_page(described(), study, {})).words)

    assert f"{study.counts.train:,} training images as they are" in words
    assert f"Accuracy on {study.counts.corrupted:,} test images" in words
    assert f"{described().training.hardware}, float32, batches of 256" in words


def test_page_has_no_hole_left(study: Study) -> None:
    assert not re.search(r"\$\w", render_page(described(), study, {}))


def test_network_without_mistakes_says_so(study: Study) -> None:
    assert study.mistakes is not None
    none = dataclasses.replace(
        study.mistakes,
        images=study.mistakes.images[:0],
        labels=study.mistakes.labels[:0],
        scores=study.mistakes.scores[:0],
    )

    page = render_page(described(), dataclasses.replace(study, mistakes=none), {})

    assert "No test image is classified wrongly." in page
