"""What a version tells of the images that it was made from, for the service to compare with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.artifacts.pixels import channel_moments, spread
from app.artifacts.samples import Samples
from app.artifacts.statistics import (
    BINS,
    Distribution,
    HeldOutStatistics,
    ReferenceStatistics,
)
from app.types import ImageArray
from training.data.dataset import Dataset
from training.evaluation.confidence import Confidences, top_scores

CONFIDENCE_STEP = 0.001
"""Bins of confidence are no narrower: engines and precisions differ by less than that, mostly, and
what they differ by is no drift. The uppermost bin begins at 0.999 at the latest for that reason."""

BRIGHTNESS_STEP = 0.5
"""Grey levels; the same for brightness, and decoders."""

_CHUNK = 1000
"""Images at a time: 12 MB of float32 where they have 32 × 32 × 3 points."""


def training_statistics(dataset: Dataset, confidences: Confidences) -> ReferenceStatistics:
    """Describe a data set and how sure its network is of it."""
    classes = len(dataset.classes)
    shares = np.bincount(dataset.train.labels, minlength=classes) / len(dataset.train)
    means, squares = _moments(dataset.train.images)
    return ReferenceStatistics(
        images=len(dataset.train),
        class_shares=tuple(shares.tolist()),
        mean_confidence=_mean(confidences.train),
        held_out=_held_out(confidences.validation),
        **_channels(means, squares),
    )


def sample_statistics(samples: Samples, *, are_chosen: bool = False) -> ReferenceStatistics | None:
    """Describe labelled pictures of an imported version; None where nobody knows their classes.

    They stand for the training images, which nobody has, and for held-out images at once.

    Args:
        samples: Pictures with the network's answers.
        are_chosen: They are as equally many of each class as there were, so that they tell nothing
            of how frequent the classes are.
    """
    if samples.labels is None:
        return None
    classes = samples.probabilities.shape[1]
    shares = np.bincount(samples.labels, minlength=classes) / len(samples)
    mix = None if are_chosen else tuple(shares.tolist())
    held_out = _held_out(top_scores(samples.probabilities, temperature=1.0))  # as served
    means, squares = _moments(samples.images)
    return ReferenceStatistics(
        source="samples",
        images=len(samples),
        class_shares=mix,
        mean_confidence=held_out.mean_confidence,
        held_out=held_out,
        **_channels(means, squares),
    )


def distribution(values: NDArray[np.floating], *, step: float, largest_edge: float) -> Distribution:
    """Divide values into tenths, as nearly as steps allow, and count what is in them.

    Args:
        values: ``(N,)``, 0 or more.
        step: Edges are multiples of it, so that tenths that are closer become one. A value that
            fills more than a tenth has a bin of this width to itself, so that there is something
            above it as well as below.
        largest_edge: Edges beyond it are moved to it.
    """
    tenths = np.quantile(values.astype(np.float64), np.arange(1, BINS) / BINS)
    edges = np.floor(tenths / step) * step
    repeated = edges[1:][np.diff(edges) == 0]
    edges = np.concatenate([edges, repeated + step])
    edges = np.unique(np.minimum(edges, largest_edge).round(6))  # 3 * 0.001 is not 0.003
    edges = edges[edges > 0]  # there is nothing below 0
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return Distribution(edges=tuple(edges.tolist()), shares=tuple((counts / len(values)).tolist()))


def _held_out(confidences: NDArray[np.float32]) -> HeldOutStatistics:
    return HeldOutStatistics(
        images=len(confidences),
        mean_confidence=_mean(confidences),
        confidence=distribution(
            confidences, step=CONFIDENCE_STEP, largest_edge=1 - CONFIDENCE_STEP
        ),
    )


def _moments(images: ImageArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and mean square of each channel of each image, ``(N, C)`` each."""
    parts = [
        channel_moments(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)
    ]
    means, squares = zip(*parts, strict=True)
    return np.concatenate(means), np.concatenate(squares)


def _channels(means: NDArray[np.float64], squares: NDArray[np.float64]) -> dict[str, object]:
    channel_means = means.mean(axis=0)  # (C,)
    spreads = spread(channel_means, squares.mean(axis=0))
    return {
        "channel_means": tuple(channel_means.tolist()),
        "channel_spreads": tuple(spreads.tolist()),
        "image_means": tuple(
            distribution(column, step=BRIGHTNESS_STEP, largest_edge=255.0) for column in means.T
        ),
    }


def _mean(confidences: NDArray[np.float32]) -> float:
    return float(confidences.mean(dtype=np.float64))
