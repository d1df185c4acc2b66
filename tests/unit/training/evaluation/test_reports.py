from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.factories.studies import HISTORY, NAMES, OLD_HISTORY, described
from training.evaluation.reports import PICTURES, Report, training_log, write_report
from training.evaluation.study import Study

PLOTS = {"calibration.png", "confusion_matrix.png", "robustness.png"}


def test_report_folder_holds_what_was_promised(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {
        *PLOTS,
        "metrics.json",
        "mistakes.png",
        "report.html",
        "sample_predictions.png",
        "training.log",
        "training_curves.png",
    }


def test_version_without_pictures_and_history_has_neither(
    tmp_path: Path, without_pictures: Study
) -> None:
    write_report(tmp_path / "report", Report(without_pictures, []), described())

    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {*PLOTS, "metrics.json", "report.html"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Sample predictions" not in page
    assert "Most confident mistakes" not in page
    assert "Training curves" not in page


def test_new_report_leaves_nothing_of_the_old_one_and_spares_other_files(
    tmp_path: Path, without_pictures: Study
) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    for name in (*PICTURES, "training.log", "notes.txt"):
        (folder / name).write_text("old")

    write_report(folder, Report(without_pictures, []), described())

    names = {path.name for path in folder.iterdir()}
    assert names == {*PLOTS, "metrics.json", "report.html", "notes.txt"}


def test_metrics_file_has_every_figure(written: Path, study: Study) -> None:
    document = json.loads((written / "metrics.json").read_text())

    assert document["metrics"] == study.metrics
    assert document["classification_report"] == study.classification_report
    assert [scores["label"] for scores in document["classes"]] == list(NAMES)
    assert set(document["averages"]) == {"macro", "weighted"}
    assert np.sum(document["confusion_matrix"]) == study.counts.test
    assert document["images"]["test"] == study.counts.test
    assert document["calibration"]["temperature"] == study.temperature
    assert document["calibration"]["method"] == "temperature_scaling"
    for part in ("before", "after"):
        bins = document["calibration"][part]["bins"]
        assert sum(one["count"] for one in bins) == study.counts.test
    assert len(document["robustness"]["scores"]) == 12
    assert document["robustness"]["clean_accuracy"] == study.clean_accuracy
    assert document["speed"]["hardware"] == described().training.hardware
    assert document["history"] == HISTORY


def test_metrics_file_is_json_even_after_an_infinite_loss(
    tmp_path: Path, without_pictures: Study
) -> None:
    diverged = [HISTORY[0] | {"val_loss": float("inf")}]

    write_report(tmp_path / "report", Report(without_pictures, diverged), described())

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = (tmp_path / "report" / "metrics.json").read_text()
    assert json.loads(text, parse_constant=refuse)["history"][0]["val_loss"] is None


def test_training_log_has_a_line_per_epoch() -> None:
    lines = training_log(HISTORY).splitlines()

    assert lines[1] == (
        "epoch 2/2  loss 0.5000  accuracy 0.7500  validation loss 1.5000  accuracy 0.2500  "
        "learning rate 0.001  61.5 s"
    )
    assert len(lines) == 2


def test_training_log_of_older_versions_lacks_validation() -> None:
    assert training_log(OLD_HISTORY).splitlines()[0] == (
        "epoch 1/2  loss 1.0000  accuracy 0.5000  learning rate 0.001  61.5 s"
    )
