"""Feeds a network: shuffled, augmented batches that depend on nothing but seed and position."""

from __future__ import annotations

import math

import keras
import numpy as np
from numpy.typing import NDArray

from app.types import ImageArray
from training.config import AugmentationConfig
from training.data import Split


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """The augmented batches of one epoch, and then of the next.

    Batch ``i`` of epoch ``e`` is a pure function of ``(seed, e, i)``: a run that is stopped and
    resumed sees the batches that it would have seen. Two things are needed for that. The epoch
    is set from outside, because Keras calls ``on_epoch_end`` once before the first epoch too. And
    ``fit`` needs ``shuffle=False``: by default it asks for the batches of a PyDataset in an order
    drawn from Python's global generator.
    """

    def __init__(
        self,
        split: Split,
        augmentation: AugmentationConfig,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        """Start at epoch 0."""
        super().__init__(workers=1)  # Keras prefetches in a thread of its own
        self._split = split
        self._augmentation = augmentation
        self._batch_size = batch_size
        self._seed = seed
        self.begin_epoch(0)

    def __len__(self) -> int:
        """Return the batches of one epoch; the last one may be smaller."""
        return math.ceil(len(self._split) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[ImageArray, NDArray[np.int64]]:
        """Return ``(N, H, W, C)`` uint8 images and ``(N,)`` class ids."""
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        rng = np.random.default_rng([self._seed, self._epoch, index])
        return augment(self._split.images[rows], self._augmentation, rng), self._split.labels[rows]

    def begin_epoch(self, epoch: int) -> None:
        """Put the images in the order of ``epoch``, counted from 0."""
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self._split))


def augment(images: ImageArray, config: AugmentationConfig, rng: np.random.Generator) -> ImageArray:
    """Flip and shift each image on its own.

    Args:
        images: ``(N, H, W, C)`` uint8, 0..255; not changed.
        config: What to vary.
        rng: Where chance comes from.

    Returns:
        ``(N, H, W, C)`` uint8, a new array.
    """
    count, height, width, _ = images.shape
    if config.shift_px:
        pad = config.shift_px
        padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
        # (N, 2·pad+1, 2·pad+1, C, H, W): a view of every possible crop
        crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        down, right = rng.integers(0, 2 * pad + 1, (2, count))
        images = crops[np.arange(count), down, right].transpose(0, 2, 3, 1)  # (N, H, W, C)
    if config.flip:
        mirrored = rng.random((count, 1, 1, 1)) < 0.5
        images = np.where(mirrored, images[:, :, ::-1], images)
    return np.ascontiguousarray(images)
