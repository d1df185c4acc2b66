"""Draws test images with what the network says about them; only where they may be shown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from training.evaluation.plots import RED, figure_png, literal
from training.evaluation.study import Examples

COLUMNS = 6
_PITCH_IN, _PICTURE_IN, _GAP_IN = 1.55, 1.35, 0.12
_LETTERS = 20
"""That fit above a picture, in one line of ``_FONT`` points."""

_FONT, _LINE_IN = 8, 0.145


def sample_predictions_png(examples: Examples, names: tuple[str, ...]) -> bytes:
    """Show test images, class by class; a wrong answer is red and names the truth.

    Args:
        examples: At least one, sorted by class.
        names: K class names.
    """
    of_a_class = int(np.bincount(examples.labels).max())
    columns = of_a_class * max(1, COLUMNS // of_a_class)  # classes with few images share a row
    titles = []
    for label, row in zip(examples.labels, examples.scores, strict=True):
        predicted = int(row.argmax())
        said = _title(f"{names[predicted]} {row[predicted]:.0%}")
        if predicted != label:
            said += "\n" + _title(f"(is {names[label]})")
        titles.append(said)
    wrong = examples.scores.argmax(axis=1) != examples.labels
    return _grid(examples, titles, wrong.tolist(), columns)


def mistakes_png(mistakes: Examples, names: tuple[str, ...]) -> bytes:
    """Show wrongly classified test images: what the network said, how surely, and what is right.

    Args:
        mistakes: At least one, the surest first.
        names: K class names.
    """
    titles = [
        _title(f"{names[row.argmax()]} {row.max():.1%}") + "\n" + _title(f"is {names[label]}")
        for label, row in zip(mistakes.labels, mistakes.scores, strict=True)
    ]
    return _grid(mistakes, titles, [False] * len(titles), COLUMNS)


def _grid(examples: Examples, titles: Sequence[str], marked: Sequence[bool], columns: int) -> bytes:
    """Lay pictures out by hand, in inches: an Axes for each would take seconds to arrange."""
    rows = -(-len(titles) // columns)
    pixels_high, pixels_wide = examples.images.shape[1:3]
    scale = _PICTURE_IN / max(pixels_high, pixels_wide)
    high, wide = scale * pixels_high, scale * pixels_wide
    title_in = _LINE_IN * max(title.count("\n") + 1 for title in titles) + 0.06
    size = (columns * _PITCH_IN + 0.1, rows * (title_in + high + _GAP_IN))
    figure = Figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    for number, (image, title, mark) in enumerate(
        zip(examples.images, titles, marked, strict=True)
    ):
        middle = 0.05 + (number % columns + 0.5) * _PITCH_IN
        top = number // columns * (title_in + high + _GAP_IN) + title_in
        pixels = image[:, :, 0] if image.shape[2] == 1 else image  # Matplotlib's shape of grey
        extent = (middle - wide / 2, middle + wide / 2, top + high, top)
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=extent)
        axes.text(
            middle,
            top - 0.04,
            title,
            ha="center",
            va="bottom",
            fontsize=_FONT,
            color=RED if mark else "black",
        )
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="auto")
    axes.set_axis_off()
    return figure_png(figure)


def _title(text: str) -> str:
    return literal(textwrap.fill(text, _LETTERS))
