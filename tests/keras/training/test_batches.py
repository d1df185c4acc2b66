from __future__ import annotations

import numpy as np
import pytest

from app.types import ImageArray
from training.config import AugmentationConfig
from training.data.dataset import Split
from training.fitting.batches import TrainingBatches

pytestmark = pytest.mark.keras

IMAGES = np.arange(20 * 6 * 5, dtype=np.uint32).astype(np.uint8).reshape(20, 6, 5, 1)
SPLIT = Split(IMAGES, np.arange(20))
VARIED = AugmentationConfig(flip=True, shift_px=2)


def batches(seed: int = 1, augmentation: AugmentationConfig = VARIED) -> TrainingBatches:
    return TrainingBatches(SPLIT, 20, augmentation, batch_size=8, seed=seed)


def epoch_of(source: TrainingBatches, epoch: int) -> tuple[ImageArray, list[int]]:
    source.begin_epoch(epoch)
    parts = [source[index] for index in range(len(source))]
    labels = np.concatenate([labels for _, labels in parts])  # (N, K)
    return np.concatenate([images for images, _ in parts]), labels.argmax(axis=1).tolist()


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


def test_labels_are_one_class_each() -> None:
    source = batches()

    for index in range(len(source)):
        _, labels = source[index]
        assert labels.dtype == np.float32
        assert np.unique(labels).tolist() == [0, 1]
        np.testing.assert_array_equal(labels.sum(axis=1), 1)


def test_blended_labels_sum_to_one_and_follow_the_images() -> None:
    bright = Split(np.repeat(np.array([0, 200], np.uint8), 20)[:, None, None, None],
                   np.repeat([0, 1], 20))  # fmt: skip
    source = TrainingBatches(bright, 2, AugmentationConfig(mixup_alpha=0.4), batch_size=40, seed=5)

    shares = []
    for epoch in range(8):
        source.begin_epoch(epoch)
        images, labels = source[0]
        np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(images[:, 0, 0, 0], 200 * labels[:, 1], atol=0.51)
        shares.append(len(np.unique(labels)))
    assert max(shares) == 4  # 0, 1, share, 1 - share


def test_two_epochs_show_both_sides_of_every_image_and_the_first_one_half_of_each() -> None:
    source = batches(augmentation=AugmentationConfig(flip=True))

    mirrored = []
    for epoch in range(4):
        images, labels = epoch_of(source, epoch)
        as_it_is = (images == IMAGES[labels]).all(axis=(1, 2, 3))
        np.testing.assert_array_equal(images[~as_it_is], IMAGES[labels][~as_it_is][:, :, ::-1])
        sides = np.empty(20, np.bool_)
        sides[labels] = ~as_it_is
        mirrored.append(sides)

    assert 0 < mirrored[0].sum() < 20
    np.testing.assert_array_equal(mirrored[1], ~mirrored[0])
    np.testing.assert_array_equal(mirrored[2], mirrored[0])
    np.testing.assert_array_equal(mirrored[3], mirrored[1])


@pytest.mark.parametrize(
    ("devices", "sizes"), [(1, [8, 8, 4]), (4, [8, 8, 4]), (3, [6, 6, 6]), (8, [8, 8])]
)
def test_every_device_has_the_same_number_of_images(devices: int, sizes: list[int]) -> None:
    source = TrainingBatches(SPLIT, 20, VARIED, batch_size=8, seed=1, devices=devices)

    assert [len(source[index][0]) for index in range(len(source))] == sizes


def test_images_left_out_for_the_devices_are_others_in_each_epoch() -> None:
    source = TrainingBatches(SPLIT, 20, VARIED, batch_size=8, seed=1, devices=8)

    shown = {label for epoch in range(8) for label in epoch_of(source, epoch)[1]}

    assert shown == set(range(20))


def test_stream_gives_the_batches_of_the_epoch_that_was_begun_in_their_order() -> None:
    source = batches()
    stream = source.stream()

    assert stream.cardinality() == len(source)  # Keras and its progress know the end
    assert stream.element_spec[0].shape == (None, 6, 5, 1)
    for epoch in (0, 3, 1):
        images, labels = epoch_of(source, epoch)
        streamed = list(stream.as_numpy_iterator())
        np.testing.assert_array_equal(np.concatenate([part for part, _ in streamed]), images)
        np.testing.assert_array_equal(
            np.concatenate([part for _, part in streamed]).argmax(axis=1), labels
        )
