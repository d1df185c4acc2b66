from __future__ import annotations

import numpy as np
import pytest

from app.types import ImageArray
from training.batches import TrainingBatches, augment
from training.config import AugmentationConfig
from training.data import Split

pytestmark = pytest.mark.keras

IMAGES = np.arange(20 * 6 * 5, dtype=np.uint32).astype(np.uint8).reshape(20, 6, 5, 1)
SPLIT = Split(IMAGES, np.arange(20))
VARIED = AugmentationConfig(flip=True, shift_px=2)


def batches(seed: int = 1, augmentation: AugmentationConfig = VARIED) -> TrainingBatches:
    return TrainingBatches(SPLIT, augmentation, batch_size=8, seed=seed)


def epoch_of(source: TrainingBatches, epoch: int) -> tuple[ImageArray, list[int]]:
    source.begin_epoch(epoch)
    parts = [source[index] for index in range(len(source))]
    return np.concatenate([images for images, _ in parts]), [
        int(label) for _, labels in parts for label in labels
    ]


def test_every_image_comes_once_in_an_epoch() -> None:
    source = batches(augmentation=AugmentationConfig())

    images, labels = epoch_of(source, 0)

    assert len(source) == 3
    assert sorted(labels) == list(range(20))
    np.testing.assert_array_equal(images, IMAGES[labels])


def test_epochs_differ_in_order_and_augmentation() -> None:
    source = batches()

    (first, first_labels), (second, second_labels) = epoch_of(source, 0), epoch_of(source, 1)

    assert first_labels != second_labels
    row = (first_labels.index(7), second_labels.index(7))
    others = [epoch_of(source, e) for e in range(2, 6)]
    versions = {first[row[0]].tobytes(), second[row[1]].tobytes()}
    versions |= {images[labels.index(7)].tobytes() for images, labels in others}
    assert len(versions) > 1


def test_epoch_is_the_same_whatever_came_before_it() -> None:
    direct, after_others = batches(), batches()
    for epoch in (0, 5, 1):
        epoch_of(after_others, epoch)

    for a, b in zip(epoch_of(direct, 3), epoch_of(after_others, 3), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_differ() -> None:
    assert epoch_of(batches(seed=1), 0)[1] != epoch_of(batches(seed=2), 0)[1]


def test_augmentation_leaves_its_input_alone() -> None:
    before = IMAGES.copy()

    augment(IMAGES, VARIED, np.random.default_rng(0))

    np.testing.assert_array_equal(IMAGES, before)


def test_no_augmentation_changes_nothing() -> None:
    unchanged = augment(IMAGES, AugmentationConfig(), np.random.default_rng(0))

    np.testing.assert_array_equal(unchanged, IMAGES)


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = np.repeat(IMAGES[:1], 400, axis=0)

    flipped = augment(images, AugmentationConfig(flip=True), np.random.default_rng(0))

    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert 150 < mirrored.sum() < 250
    np.testing.assert_array_equal(flipped[~mirrored], images[~mirrored])


def test_shift_moves_by_up_to_its_limit_in_every_direction_and_reflects() -> None:
    images = np.repeat(IMAGES[:1], 400, axis=0)
    padded = np.pad(IMAGES[0], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    allowed = {
        padded[down : down + 6, right : right + 5].tobytes()
        for down in range(5)
        for right in range(5)
    }

    shifted = augment(images, AugmentationConfig(shift_px=2), np.random.default_rng(0))

    assert {image.tobytes() for image in shifted} == allowed
