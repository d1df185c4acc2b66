"""How sure a network is, of images that it has learnt from and of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.types import ImageArray, ScoreArray
from training.data.dataset import Dataset, Split
from training.evaluation.calibration import apply_temperature
from training.evaluation.evaluate import probabilities
from training.publishing.samples import balanced_rows

MAX_TRAIN_IMAGES = 10_000
"""Fixes the training accuracy to within half a point, and costs the CIFAR-10 network ten seconds
on two cores."""


@dataclass(frozen=True, slots=True, eq=False)
class Confidences:
    """The highest probability of each image, calibrated as when serving, 0..1.

    Attributes:
        train: ``(N,)`` of ``judged_train_images``.
        validation: ``(V,)`` of all validation images.
    """

    train: NDArray[np.float32]
    validation: NDArray[np.float32]


def judged_train_images(dataset: Dataset) -> Split:
    """Return the training images that a network is judged by.

    Of more than ``MAX_TRAIN_IMAGES``, equally many of each class, as far as there are.
    """
    return dataset.train.take(balanced_rows(dataset.train.labels, MAX_TRAIN_IMAGES))


def measure_confidences(
    execute: Callable[[ImageArray], ScoreArray], dataset: Dataset, temperature: float
) -> Confidences:
    """Run a network, without its temperature, on training and validation images."""
    return Confidences(
        train=top_scores(probabilities(execute, judged_train_images(dataset).images), temperature),
        validation=top_scores(probabilities(execute, dataset.validation.images), temperature),
    )


def top_scores(scores: ScoreArray, temperature: float) -> NDArray[np.float32]:
    """Return ``(N,)`` the highest probability of each row, calibrated."""
    highest: NDArray[np.float32] = apply_temperature(scores, temperature).max(axis=1)
    return np.minimum(highest, np.float32(1))  # softmax in float32 rounds up at times
