"""Writes ``report/``: what a person wants to see before trusting a version."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.artifacts.manifest import Manifest
from app.types import ImageArray, ScoreArray
from training.evaluate import Evaluation
from training.plots import (
    calibration_png,
    confusion_matrix_png,
    sample_predictions_png,
    training_curves_png,
)
from training.report_page import render_page
from training.run_directory import EpochRecord


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Test images to show, sorted by class; only for versions that carry their data set.

    Attributes:
        images: ``(N, H, W, C)`` uint8.
        labels: ``(N,)`` class ids.
        scores: ``(N, K)`` probabilities.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    scores: ScoreArray


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What the report is made from, beside the manifest."""

    evaluation: Evaluation
    history: list[EpochRecord]
    examples: Examples | None = None


def write_report(folder: Path, report: Report, manifest: Manifest) -> None:
    """Fill ``folder``: pictures, ``metrics.json``, ``training.log`` and ``report.html``."""
    pictures = {
        "confusion_matrix.png": confusion_matrix_png(report.evaluation),
        "training_curves.png": training_curves_png(report.history),
        "calibration.png": calibration_png(report.evaluation),
    }
    if report.examples is not None:
        pictures["sample_predictions.png"] = sample_predictions_png(
            report.examples.images, report.examples.labels, report.examples.scores, manifest.classes
        )
    folder.mkdir()
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
    texts = {
        "metrics.json": json.dumps(metrics_document(report, manifest), indent=2) + "\n",
        "training.log": training_log(report.history),
        "report.html": render_page(manifest, report.evaluation, pictures),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def metrics_document(report: Report, manifest: Manifest) -> dict[str, object]:
    """Return every figure of the report: for comparison by programs."""
    return {
        "metrics": manifest.metrics,
        "classes": [asdict(scores) for scores in report.evaluation.classes],
        "confusion_matrix": report.evaluation.confusion.tolist(),
        "calibration": [asdict(part) for part in report.evaluation.bins],
        "history": report.history,
    }


def training_log(history: list[EpochRecord]) -> str:
    """Return one line per epoch."""
    return "".join(
        f"epoch {record['epoch']:.0f}/{len(history)}  loss {record['loss']:.4f}  "
        f"accuracy {record['accuracy']:.4f}  learning rate {record['learning_rate']:.3g}  "
        f"{record['duration_s']:.1f} s\n"
        for record in history
    )
