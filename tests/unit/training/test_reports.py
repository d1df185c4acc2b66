from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.artifacts.manifest import Gate, Manifest
from tests.factories.versions import make_manifest
from training.evaluate import Evaluation, evaluate
from training.gate import judge
from training.plots import confusion_matrix_png
from training.report_page import render_page
from training.reports import Examples, Report, write_report

HISTORY = [
    {"epoch": e, "loss": 1 / e, "accuracy": 1 - 0.5 / e, "learning_rate": 1e-3, "duration_s": 61.5}
    for e in (1.0, 2.0)
]
NAMES = ("a", "b", "<b>&")
MARKUP = "<script>alert(1)</script>"


def make_evaluation() -> Evaluation:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    scores = (np.eye(3)[labels] + rng.random((60, 3))).astype(np.float32)
    return evaluate(scores / scores.sum(axis=1, keepdims=True), labels, NAMES)


def make_gate(accuracy: float, *, force: bool = False) -> Gate:
    return judge(
        non_finite_weights=0,
        test_accuracy=accuracy,
        min_test_accuracy=0.8,
        round_trip_deviation=0.0,
        force=force,
    )


def described() -> Manifest:
    return make_manifest(classes=NAMES, gate=make_gate(0.9))


def make_examples() -> Examples:
    labels = np.array([0, 0, 1, 2])
    scores = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 1, 0], [0.3, 0.3, 0.4]], np.float32)
    return Examples(np.zeros((4, 8, 8, 1), np.uint8), labels, scores)


class TagCollector(HTMLParser):
    """Remembers every tag with its attributes, and that each is closed."""

    VOID = frozenset({"meta", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(page: str) -> TagCollector:
    collector = TagCollector()
    collector.feed(page)
    assert collector.open == []
    return collector


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report without examples; drawing takes a second, so the tests share it."""
    folder = tmp_path_factory.mktemp("version") / "report"
    write_report(folder, Report(make_evaluation(), HISTORY), described())
    return folder


def test_report_folder_holds_what_the_manifest_promises(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {
        "calibration.png",
        "confusion_matrix.png",
        "metrics.json",
        "report.html",
        "training.log",
        "training_curves.png",
    }


def test_predictions_are_shown_only_where_the_data_set_may_be(tmp_path: Path) -> None:
    report = Report(make_evaluation(), HISTORY, make_examples())

    write_report(tmp_path / "report", report, described())

    assert (tmp_path / "report" / "sample_predictions.png").is_file()
    assert "Sample predictions" in (tmp_path / "report" / "report.html").read_text()


def test_pictures_are_readable_and_small_enough_to_commit(written: Path) -> None:
    for path in written.glob("*.png"):
        assert path.stat().st_size < 200_000
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            assert min(image.size) > 300


def test_equal_runs_draw_equal_pictures(written: Path) -> None:
    again = confusion_matrix_png(make_evaluation())

    assert again == (written / "confusion_matrix.png").read_bytes()


def test_many_classes_are_drawn_without_their_numbers() -> None:
    names = tuple(f"class {number}" for number in range(40))
    labels = np.arange(80) % 40

    png = confusion_matrix_png(evaluate(np.eye(40, dtype=np.float32)[labels], labels, names))

    assert max(Image.open(io.BytesIO(png)).size) < 2000


def test_metrics_file_has_every_figure(written: Path) -> None:
    document = json.loads((written / "metrics.json").read_text())

    assert document["metrics"] == described().metrics
    assert [scores["label"] for scores in document["classes"]] == list(NAMES)
    assert np.sum(document["confusion_matrix"]) == 60
    assert sum(part["count"] for part in document["calibration"]) == 60
    assert document["history"] == HISTORY


def test_training_log_has_a_line_per_epoch(written: Path) -> None:
    lines = (written / "training.log").read_text().splitlines()

    assert lines[1] == "epoch 2/2  loss 0.5000  accuracy 0.7500  learning rate 0.001  61.5 s"
    assert len(lines) == 2


def test_page_stands_alone() -> None:
    page = parse(render_page(described(), make_evaluation(), {"calibration.png": b"\x89PNG"}))

    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 1
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_page_shows_the_facts_to_repeat_the_run() -> None:
    manifest = described()
    page = render_page(manifest, make_evaluation(), {})

    record = manifest.training
    for fact in (record.dataset, record.dataset_fingerprint, record.command, record.hardware):
        assert fact in page


def test_page_escapes_what_it_did_not_write() -> None:
    manifest = described()
    record = manifest.training.model_copy(update={"hardware": MARKUP, "command": '"' + MARKUP})

    page = render_page(manifest.model_copy(update={"training": record}), make_evaluation(), {})

    parse(page)
    assert MARKUP not in page
    assert "&lt;b&gt;&amp;" in page


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [
        (make_gate(0.9), "Passed."),
        (make_gate(0.5, force=True), "Not passed; published by force."),
    ],
    ids=["passed", "forced"],
)
def test_page_tells_how_the_gate_was_taken(gate: Gate, verdict: str) -> None:
    manifest = make_manifest(classes=NAMES, gate=gate)

    assert verdict in render_page(manifest, make_evaluation(), {})


def test_page_has_no_hole_left() -> None:
    assert not re.search(r"\$\w", render_page(described(), make_evaluation(), {}))
