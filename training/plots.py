"""Draws the pictures of a report as PNG, through Matplotlib's Agg canvas and no global state."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from app.types import ImageArray, ScoreArray
from training.evaluate import Evaluation
from training.run_directory import EpochRecord

DPI = 110
"""Sharp at the width of the report's column, and some 50 kB a picture: the reports of the versions
in this repository are committed."""

MAX_WRITTEN_CLASSES = 20
"""More columns leave no room for the numbers in a confusion matrix."""

_BLUE, _RED, _GREY = "#2166ac", "#b2182b", "#6b7280"


def confusion_matrix_png(evaluation: Evaluation) -> bytes:
    """Actual classes in rows, predicted ones in columns; colour is the share of the row."""
    counts = evaluation.confusion  # (K, K)
    names = [scores.label for scores in evaluation.classes]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.6 + 0.55 * min(len(names), MAX_WRITTEN_CLASSES)
    figure = Figure(figsize=(side, side * 0.9), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(
        image, ax=axes, label="share of the actual class", format=PercentFormatter(1), shrink=0.85
    )
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="actual", title="Confusion matrix (test images)")
    if len(names) <= MAX_WRITTEN_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=9)
    return _png(figure)


def training_curves_png(history: list[EpochRecord]) -> bytes:
    """Loss, accuracy and learning rate at the end of each epoch."""
    figure = Figure(figsize=(7, 7), layout="constrained")
    panels: list[Axes] = list(figure.subplots(3, 1, sharex=True))
    epochs = [record["epoch"] for record in history]
    for axes, key, label in zip(
        panels,
        ("loss", "accuracy", "learning_rate"),
        ("loss, nats", "accuracy", "learning rate"),
        strict=True,
    ):
        axes.plot(epochs, [record[key] for record in history], color=_BLUE, marker="o", ms=4)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    panels[0].set_title("Training (augmented images, dropout on)")
    panels[1].yaxis.set_major_formatter(PercentFormatter(1))
    panels[2].set_ylim(0, 1.1 * max(record["learning_rate"] for record in history))
    panels[2].set_xlabel("epoch")
    panels[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels(panels)
    return _png(figure)


def calibration_png(evaluation: Evaluation) -> bytes:
    """Draw a reliability diagram: how often the network is right, by how sure it is."""
    figure = Figure(figsize=(6.2, 6.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    centres = [(part.lower + part.upper) / 2 for part in evaluation.bins]
    width = evaluation.bins[0].upper * 0.92
    filled = [part for part in evaluation.bins if part.count]
    upper.bar(
        centres, [part.accuracy for part in evaluation.bins], width, color=_BLUE, label="accuracy"
    )
    upper.plot(
        [part.confidence for part in filled],
        [part.confidence for part in filled],
        ls="none",
        marker="o",
        ms=5,
        color=_RED,
        label="mean confidence",
    )
    upper.plot([0, 1], [0, 1], ls="--", color=_GREY, label="perfect calibration")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    upper.set_title(
        f"Calibration: expected error {evaluation.expected_calibration_error:.4f}, "
        f"{len(evaluation.bins)} bins"
    )
    upper.legend(loc="upper left")
    lower.bar(centres, [part.count for part in evaluation.bins], width, color=_GREY)
    lower.set(xlabel="confidence (highest probability)", ylabel="test images")
    for axes in (upper, lower):
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    upper.yaxis.set_major_formatter(PercentFormatter(1))
    figure.align_ylabels([upper, lower])
    return _png(figure)


def sample_predictions_png(
    images: ImageArray, labels: NDArray[np.int64], scores: ScoreArray, names: tuple[str, ...]
) -> bytes:
    """Show test images with what the network says; a wrong answer is red and names the truth.

    Args:
        images: ``(N, H, W, C)`` uint8, sorted by class.
        labels: ``(N,)`` class ids.
        scores: ``(N, K)`` probabilities.
        names: K class names.
    """
    columns = max(1, int(np.bincount(labels).max()))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.5 * columns + 0.4, 1.75 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, image, label, row in zip(panels, images, labels, scores, strict=False):
        predicted = int(row.argmax())
        title = f"{names[predicted]} {row[predicted]:.0%}"
        if predicted != label:
            title += f"\n(is {names[label]})"
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, fontsize=8, color="black" if predicted == label else _RED)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without Software, which names Matplotlib's version, equal runs draw equal files.
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
