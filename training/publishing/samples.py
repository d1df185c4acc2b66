"""Chooses what the self-test of a version runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.types import ImageArray
from training.config import PublishConfig
from training.data.dataset import Dataset
from training.publishing.pictures import generate_pictures

MAX_LABELLED = 1000
"""Enough to see one image in a hundred change its class, and at 32×32 only 3 MB."""


def choose_samples(
    config: PublishConfig, dataset: Dataset
) -> tuple[ImageArray, NDArray[np.int64] | None]:
    """Return ``(N, H, W, C)`` uint8 images and, if they are of the data set, their class ids."""
    if config.samples == "generated":
        return generate_pictures(dataset.spec), None
    rows = balanced_rows(dataset.test.labels, MAX_LABELLED)
    return dataset.test.images[rows], dataset.test.labels[rows]


def balanced_rows(labels: NDArray[np.int64], limit: int) -> NDArray[np.intp]:
    """Choose up to ``limit`` rows, as equally many of each class as there are; ascending.

    The first rows of each class are taken, so that the choice depends on the data set alone.
    """
    rank = np.empty(len(labels), np.intp)  # 0 for the first of its class, 1 for the second, ...
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return np.sort(np.lexsort((labels, rank))[:limit])
