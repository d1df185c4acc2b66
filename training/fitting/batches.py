"""Feeds a network: shuffled, augmented batches that depend on nothing but seed and position."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from app.types import ImageArray
from training.config import AugmentationConfig
from training.data.dataset import Split
from training.fitting.augmentation import augment, mix_up
from training.fitting.teacher import Teacher

_TOSSES = -1 % 2**32
"""Stands for an epoch in the seed of the tosses that mirror images: no epoch has this number."""


_THREADS = 4
"""That make batches. One makes some 30,000 CIFAR-10 images/s, which keeps a processor's network
busy many times over, but not a large GPU's; NumPy lets several work at once for most of it."""

_READY = 4
"""Batches that wait for the device."""


class TrainingBatches:
    """The augmented batches of one epoch, and then of the next.

    Batch ``i`` of epoch ``e`` is a pure function of ``(seed, e, i)``: a run that is stopped and
    resumed sees the batches that it would have seen, and several threads may make them. The epoch
    is set from outside.

    Mirroring alternates: an image is mirrored in every second epoch, and a toss decides in which.
    Two epochs thus show both sides of every image, where tosses in each epoch would repeat half of
    them (K. Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU. 2024, section 3.6).
    """

    def __init__(
        self,
        split: Split,
        classes: int,
        augmentation: AugmentationConfig,
        *,
        batch_size: int,
        seed: int,
        devices: int = 1,
        teacher: Teacher | None = None,
    ) -> None:
        """Start at epoch 0.

        Args:
            split: The images.
            classes: K.
            augmentation: How they are varied.
            batch_size: Images per step, over all devices.
            seed: Of order and augmentation.
            devices: Over which each batch is divided; they need the same number of images, at
                least one. So batches are made a multiple of it, and up to ``devices - 1`` images of
                an epoch are left out, others in each.
            teacher: Who else is asked what the images show.
        """
        self._split = split
        self._classes = classes
        self._augmentation = augmentation
        self._batch_size = batch_size - batch_size % devices
        self._count = len(split) - len(split) % devices  # images of an epoch
        self._seed = seed
        self._teacher = teacher
        self._tosses = np.random.default_rng([seed, _TOSSES]).random(len(split)) < 0.5
        self.begin_epoch(0)

    def __len__(self) -> int:
        """Return the batches of one epoch; the last one may be smaller."""
        return math.ceil(self._count / self._batch_size)

    def __getitem__(self, index: int) -> tuple[ImageArray, NDArray[np.float32]]:
        """Return ``(N, H, W, C)`` uint8 images and ``(N, K)`` float32, rows sum to 1."""
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        rng = np.random.default_rng([self._seed, self._epoch, index])
        images = augment(
            self._split.images[rows],
            self._augmentation,
            rng,
            mirrored=self._tosses[rows] ^ bool(self._epoch % 2),
        )
        labels = np.eye(self._classes, dtype=np.float32)[self._split.labels[rows]]
        if self._augmentation.mixup_alpha:
            images, labels = mix_up(images, labels, self._augmentation.mixup_alpha, rng)
        if self._teacher is not None:
            labels = self._teacher.blend(images, labels)
        return images, labels

    def stream(self) -> tf.data.Dataset:
        """Return the batches in their order, made ahead of the device by a few threads.

        Each iteration gives those of the epoch that was begun last.

        Nothing in it is tuned while it runs. TensorFlow's tuning has a thread that sleeps for ever
        longer, and an iterator that is let go of waits for it: in TensorFlow 2.21 the end of an
        epoch was seen to last from 5 to 12 seconds longer, in every tenth of them or more
        (``RootDataset::Iterator::~Iterator`` in ``Model::OptimizeLoop``). A ``keras.utils.
        PyDataset`` would do without this method, but is always tuned.
        """
        height, width, channels = self._split.images.shape[1:]

        def make(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images, labels = tf.numpy_function(
                lambda index: self[int(index)], [index], (tf.uint8, tf.float32)
            )
            images.set_shape((None, height, width, channels))
            labels.set_shape((None, self._classes))
            return images, labels

        batches = tf.data.Dataset.range(len(self)).map(make, num_parallel_calls=_THREADS)
        options = tf.data.Options()
        options.autotune.enabled = False
        # Threads of its own: those of TensorFlow must be free to do what a teacher asks for.
        options.threading.private_threadpool_size = _THREADS
        return batches.prefetch(_READY).with_options(options)

    def begin_epoch(self, epoch: int) -> None:
        """Put the images in the order of ``epoch``, counted from 0."""
        self._epoch = epoch
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._split))
        self._order = order[: self._count]
