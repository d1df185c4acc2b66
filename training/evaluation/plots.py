"""Draws the figures of a report as PNG, through Matplotlib's Agg canvas and no global state."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from training.evaluation.corruptions import CORRUPTIONS
from training.evaluation.evaluate import Evaluation
from training.evaluation.study import CorruptionScore
from training.fitting.run_directory import EpochRecord

DPI = 110
"""Sharp at the width of the report's column, and some 50 kB a picture: the reports of the versions
in this repository are committed."""

MAX_WRITTEN_CLASSES = 20
"""More columns leave no room for the numbers in a confusion matrix."""

MAX_NAMED_CLASSES = 100
"""More names are too small to read: every second, third, ... class is named."""

MAX_MARKED_EPOCHS = 40
"""More marks hide the line that they are on."""

BLUE, RED, GREY = "#2166ac", "#b2182b", "#6b7280"
_LINES = (("#2166ac", "o"), ("#b2182b", "s"), ("#1b7837", "^"), ("#762a83", "D"))

_CELL_IN, _LETTER_IN = 0.55, 0.085
"""Side of a cell of the confusion matrix that holds a number, and width of a letter, inches."""

_WRAP_LETTERS, _MAX_LETTERS = 26, 48
"""Of a class name in the confusion matrix: where it is broken, and where it ends in an ellipsis."""


def confusion_matrix_png(evaluation: Evaluation) -> bytes:
    """Actual classes in rows, predicted ones in columns; colour is the share of the row."""
    counts = evaluation.confusion  # (K, K)
    classes = len(counts)
    names = _tick_names([scores.label for scores in evaluation.classes])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells_in = _CELL_IN * min(max(classes, 4), MAX_WRITTEN_CLASSES)
    letters_in = _LETTER_IN * max(len(line) for name in names for line in name.splitlines())
    width, height = cells_in + letters_in + 2.0, cells_in + 0.75 * letters_in + 1.0
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(
        image, ax=axes, label="share of the actual class", format=PercentFormatter(1), shrink=0.85
    )
    step = -(-classes // MAX_NAMED_CLASSES)
    size = min(10.0, 72 * 0.8 * cells_in * step / classes)  # points: a row has to hold its name
    ticks = range(0, classes, step)
    axes.set_xticks(
        ticks, names[::step], rotation=45, ha="right", rotation_mode="anchor", fontsize=size
    )
    axes.set_yticks(ticks, names[::step], fontsize=size)
    axes.set(xlabel="predicted", ylabel="actual", title="Confusion matrix (test images)")
    if classes <= MAX_WRITTEN_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            size = 9 if count < 100_000 else 7
            axes.text(
                column, row, f"{count}", ha="center", va="center", color=colour, fontsize=size
            )
    return figure_png(figure)


def training_curves_png(history: Sequence[EpochRecord]) -> bytes:
    """Loss, accuracy and learning rate of each epoch; validation where it was recorded."""
    figure = Figure(figsize=(7.5, 7.5), layout="constrained")
    panels: list[Axes] = list(figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 2]))
    mark = "o" if len(history) <= MAX_MARKED_EPOCHS else ""
    for axes, key, label in zip(
        panels,
        ("loss", "accuracy", "learning_rate"),
        ("loss, nats", "accuracy", "learning rate"),
        strict=True,
    ):
        _curve(axes, history, key, mark, color=BLUE, label="training (augmented, dropout on)")
        _curve(
            axes, history, f"val_{key}", mark, color=RED, label="validation (images as they are)"
        )
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    panels[0].set_title("Training")
    panels[1].legend(loc="lower right")
    panels[1].yaxis.set_major_formatter(PercentFormatter(1))
    panels[2].set_ylim(0, 1.1 * max(record["learning_rate"] for record in history))
    panels[2].set_xlabel("epoch")
    panels[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels(panels)
    return figure_png(figure)


def calibration_png(before: Evaluation, after: Evaluation, temperature: float) -> bytes:
    """Draw reliability diagrams: how often the network is right, by how sure it is.

    Args:
        before: Of the probabilities as the network gives them.
        after: Of those at ``temperature``.
        temperature: 1 draws one diagram, for the two are the same.
    """
    shown = [("As the network answers", before)]
    if temperature != 1.0:
        shown = [("Before scaling", before), (f"As served, temperature {temperature:.3g}", after)]
    figure = Figure(figsize=(5.2 * len(shown) + 0.6, 6.2), layout="constrained")
    grid = figure.subplots(
        2, len(shown), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1]
    )
    for (title, evaluation), upper, lower in zip(shown, *grid, strict=True):
        _reliability(upper, lower, evaluation)
        upper.set_title(f"{title}: expected error {evaluation.expected_calibration_error:.4f}")
    grid[0, 0].set_ylabel("accuracy")
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1))
    grid[0, 0].legend(loc="upper left")
    grid[1, 0].set_ylabel("test images")
    figure.align_ylabels(grid[:, 0])
    return figure_png(figure)


def robustness_png(scores: Sequence[CorruptionScore], clean_accuracy: float, classes: int) -> bytes:
    """Draw the accuracy over the severity of each corruption; severity 0 is the clean image."""
    figure = Figure(figsize=(7.5, 5.0), layout="constrained")
    axes = figure.add_subplot()
    for corruption, (colour, mark) in zip(CORRUPTIONS, _LINES, strict=True):
        found = [score for score in scores if score.corruption == corruption]
        axes.plot(
            [0, *(score.severity for score in found)],
            [clean_accuracy, *(score.accuracy for score in found)],
            color=colour,
            marker=mark,
            ms=6,
            label=spoken(corruption),
        )
    axes.axhline(1 / classes, ls="--", color=GREY, label="chance")
    axes.set(ylim=(0, 1.02), xlabel="severity (0: the image as it is)", ylabel="accuracy")
    axes.set_title("Accuracy on corrupted test images")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3)
    return figure_png(figure)


def spoken(corruption: str) -> str:
    """Return the name of a corruption as people write it."""
    return {"jpeg_compression": "JPEG compression", "gaussian_noise": "Gaussian noise"}.get(
        corruption, corruption.replace("_", " ").replace("gaussian", "Gaussian")
    )


def figure_png(figure: Figure) -> bytes:
    """Render a figure."""
    buffer = io.BytesIO()
    # Without Software, which names Matplotlib's version, equal runs draw equal files.
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def literal(text: str) -> str:
    """Return ``text`` so that Matplotlib draws it as it is: a pair of ``$`` would be a formula."""
    return text.replace("$", r"\$")


def _tick_names(names: Sequence[str]) -> list[str]:
    """Break long names where there is room for two lines, and shorten what no page could hold."""
    short = [
        literal(name if len(name) <= _MAX_LETTERS else f"{name[: _MAX_LETTERS - 1]}…")
        for name in names
    ]
    if len(names) > MAX_WRITTEN_CLASSES:
        return short
    return [textwrap.fill(name, _WRAP_LETTERS) or name for name in short]


def _curve(axes: Axes, history: Sequence[EpochRecord], key: str, mark: str, **look: Any) -> None:
    points = [(record["epoch"], record[key]) for record in history if key in record]
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, marker=mark, ms=4, **look)


def _reliability(upper: Axes, lower: Axes, evaluation: Evaluation) -> None:
    bins = evaluation.bins
    centres = [(part.lower + part.upper) / 2 for part in bins]
    width = bins[0].upper * 0.92
    confidences = [part.confidence for part in bins if part.count]
    upper.bar(centres, [part.accuracy for part in bins], width, color=BLUE, label="accuracy")
    upper.plot(
        confidences,
        confidences,
        ls="none",
        marker="o",
        ms=5,
        color=RED,
        label="mean confidence",
    )
    upper.plot([0, 1], [0, 1], ls="--", color=GREY, label="perfect calibration")
    upper.set(xlim=(0, 1), ylim=(0, 1))
    lower.bar(centres, [part.count for part in bins], width, color=GREY)
    lower.set_xlabel("confidence (highest probability)")
    for axes in (upper, lower):
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
