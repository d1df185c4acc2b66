"""A window in figures, and beside the statistics that its version was published with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.artifacts.pixels import spread
from app.artifacts.statistics import (
    CHANNEL_NAMES,
    CLASSES,
    CONFIDENCE,
    Distribution,
    ReferenceStatistics,
    images_needed,
)
from app.drift.stability import stability_index
from app.drift.window import WindowContent


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """A window as the reference statistics have the training images.

    Attributes:
        class_shares: Share of each of the K classes; empty if there is no image.
        mean_confidence: Mean score of the first label; None if there is no image.
        channel_means: Of each of the C channels, 0..255; empty if no pixels were looked at.
        channel_spreads: Standard deviation over all pixels of all images; the same.
    """

    class_shares: tuple[float, ...]
    mean_confidence: float | None
    channel_means: tuple[float, ...]
    channel_spreads: tuple[float, ...]


def window_figures(content: WindowContent, classes: int) -> WindowFigures:
    """Summarise a window of a network of ``classes`` classes."""
    answers, looks = len(content.class_ids), len(content.means)
    means = content.means.mean(axis=0) if looks else np.empty(0)  # (C,)
    squares = content.mean_squares.mean(axis=0) if looks else np.empty(0)
    shares = class_counts(content, classes) / answers if answers else np.empty(0)  # (K,)
    return WindowFigures(
        class_shares=tuple(shares.tolist()),
        mean_confidence=float(content.scores.mean(dtype=np.float64)) if answers else None,
        channel_means=tuple(means.tolist()),
        channel_spreads=tuple(spread(means, squares).tolist()),
    )


def stability_indices(content: WindowContent, reference: ReferenceStatistics) -> dict[str, float]:
    """Return the population stability index of each signal that has enough images for one.

    Confidence is compared with that on held-out images, classes and brightness with the training
    images.
    """
    counts = {CONFIDENCE: _binned(content.scores, reference.held_out.confidence)}
    if reference.class_shares is not None:
        counts[CLASSES] = class_counts(content, len(reference.class_shares))
    names = CHANNEL_NAMES[len(reference.image_means)]
    for name, means, expected in zip(names, content.means.T, reference.image_means, strict=True):
        counts[name] = _binned(means, expected)
    return {
        signal.name: stability_index(counts[signal.name], np.array(signal.shares), signal.images)
        for signal in reference.signals
        if not signal.is_too_small
        and counts[signal.name].sum() >= images_needed(len(signal.shares))
    }


def class_counts(content: WindowContent, classes: int) -> NDArray[np.int64]:
    """Return ``(K,)`` how many images were given each class."""
    counts: NDArray[np.int64] = np.bincount(content.class_ids, minlength=classes)
    return counts


def _binned(values: NDArray[np.floating], expected: Distribution) -> NDArray[np.int64]:
    bins = np.searchsorted(expected.edges, values, side="right")
    counts: NDArray[np.int64] = np.bincount(bins, minlength=len(expected.shares))
    return counts
