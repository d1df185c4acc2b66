"""Writes ``report/``: what a person wants to see before trusting a version."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.artifacts.layout import REPORT_PAGE
from app.artifacts.manifest import Manifest
from training.evaluation.evaluate import BATCH_SIZE, Evaluation, average_scores
from training.evaluation.picture_plots import mistakes_png, sample_predictions_png
from training.evaluation.plots import (
    calibration_png,
    confusion_matrix_png,
    robustness_png,
    training_curves_png,
)
from training.evaluation.report_page import render_page
from training.evaluation.study import Study
from training.fitting.run_directory import EpochRecord

METRICS = "metrics.json"
PAGE = REPORT_PAGE
LOG = "training.log"
PICTURES = (
    "confusion_matrix.png",
    "calibration.png",
    "robustness.png",
    "mistakes.png",
    "sample_predictions.png",
    "training_curves.png",
)


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What the report is made from, beside the manifest.

    Attributes:
        study: What was measured.
        history: Of the training; empty where that is not known, as of an imported network.
        hardware: That the study ran on; None where it is that of the training.
        notes: Sentences that a reader must know before the figures.
    """

    study: Study
    history: list[EpochRecord]
    hardware: str | None = None
    notes: tuple[str, ...] = ()


def write_report(folder: Path, report: Report, manifest: Manifest) -> None:
    """Fill ``folder``: pictures, ``metrics.json``, ``report.html``, and the log of a training.

    Of a report that was there before, nothing is left; other files stay.
    """
    pictures = _pictures(report, manifest.classes)
    metrics = _finite(metrics_document(report, manifest))
    texts = {
        METRICS: json.dumps(metrics, indent=2, allow_nan=False) + "\n",
        PAGE: render_page(
            manifest, report.study, pictures, hardware=report.hardware, notes=report.notes
        ),
    }
    if report.history:
        texts[LOG] = training_log(report.history)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*PICTURES, METRICS, PAGE, LOG):
        (folder / name).unlink(missing_ok=True)
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def metrics_document(report: Report, manifest: Manifest) -> dict[str, Any]:
    """Return every figure of the report: for comparison by programs."""
    study = report.study
    macro, weighted = average_scores(study.evaluation.classes)
    return {
        "name": manifest.name,
        "version": manifest.version,
        "metrics": study.metrics,
        "images": asdict(study.counts),
        "classification_report": study.classification_report,
        "classes": [asdict(scores) for scores in study.evaluation.classes],
        "averages": {"macro": asdict(macro), "weighted": asdict(weighted)},
        "confusion_matrix": study.evaluation.confusion.tolist(),
        "calibration": {
            **study.calibration.model_dump(),
            "before": _calibration(study.uncalibrated),
            "after": _calibration(study.evaluation),
        },
        "robustness": {
            "clean_accuracy": study.clean_accuracy,
            "scores": [asdict(score) for score in study.robustness],
        },
        "speed": {
            "images_per_s": study.images_per_s,
            "batch_size": BATCH_SIZE,
            "hardware": report.hardware or manifest.training.hardware,
        },
        "history": report.history,
    }


def training_log(history: Sequence[EpochRecord]) -> str:
    """Return one line per epoch."""
    return "".join(_log_line(record, len(history)) for record in history)


def _log_line(record: EpochRecord, epochs: int) -> str:
    validation = ""
    if "val_loss" in record:
        validation = (
            f"validation loss {record['val_loss']:.4f}  accuracy {record['val_accuracy']:.4f}  "
        )
    return (
        f"epoch {record['epoch']:.0f}/{epochs}  loss {record['loss']:.4f}  "
        f"accuracy {record['accuracy']:.4f}  {validation}"
        f"learning rate {record['learning_rate']:.3g}  {record['duration_s']:.1f} s\n"
    )


def _pictures(report: Report, classes: tuple[str, ...]) -> dict[str, bytes]:
    study = report.study
    pictures = {
        "confusion_matrix.png": confusion_matrix_png(study.evaluation),
        "calibration.png": calibration_png(study.uncalibrated, study.evaluation, study.temperature),
        "robustness.png": robustness_png(study.robustness, study.clean_accuracy, len(classes)),
    }
    if study.mistakes:  # neither unwanted nor empty
        pictures["mistakes.png"] = mistakes_png(study.mistakes, classes)
    if study.examples:
        pictures["sample_predictions.png"] = sample_predictions_png(study.examples, classes)
    if report.history:
        pictures["training_curves.png"] = training_curves_png(report.history)
    return pictures


def _calibration(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "expected_calibration_error": evaluation.expected_calibration_error,
        "bins": [asdict(part) for part in evaluation.bins],
    }


def _finite(value: Any) -> Any:
    """Put None for what JSON has no number for: the loss of an epoch may have been infinite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
