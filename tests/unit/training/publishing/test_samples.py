from __future__ import annotations

import numpy as np
import pytest

from app.types import InputSpec
from training.config import PublishConfig
from training.data.dataset import Dataset, Split
from training.publishing.pictures import generate_pictures
from training.publishing.samples import MAX_LABELLED, balanced_rows, choose_samples

SPECS = [InputSpec(32, 32, 3), InputSpec(28, 28, 1), InputSpec(4, 9, 3)]


def dataset(count: int) -> Dataset:
    labels = np.arange(count) % 3
    images = np.repeat(labels.astype(np.uint8), 16).reshape(count, 4, 4, 1)
    split = Split(images, labels)
    return Dataset("images", ("a", "b", "c"), InputSpec(4, 4, 1), split, split, split, "sha256:0")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "×".join(map(str, spec.shape)))
def test_generated_pictures_have_the_network_s_shape(spec: InputSpec) -> None:
    pictures = generate_pictures(spec)

    assert pictures.shape == (64, *spec.shape)
    assert pictures.dtype == np.uint8


def test_generated_pictures_are_always_the_same() -> None:
    np.testing.assert_array_equal(generate_pictures(SPECS[0]), generate_pictures(SPECS[0]))


def test_generated_pictures_differ_from_each_other() -> None:
    pictures = generate_pictures(SPECS[0])

    assert len(np.unique(pictures.reshape(64, -1), axis=0)) == 64
    assert 40 < pictures.mean() < 215
    assert pictures.std() > 40


def test_version_that_must_not_carry_its_data_set_gets_generated_pictures_without_labels() -> None:
    images, labels = choose_samples(PublishConfig(samples="generated"), dataset(9))

    assert labels is None
    np.testing.assert_array_equal(images, generate_pictures(InputSpec(4, 4, 1)))


def test_labelled_samples_are_test_images_with_their_classes() -> None:
    images, labels = choose_samples(PublishConfig(samples="labelled"), dataset(9))

    assert labels is not None
    assert labels.tolist() == [0, 1, 2] * 3
    np.testing.assert_array_equal(images[:, 0, 0, 0], labels)


def test_labelled_samples_are_bounded() -> None:
    images, _ = choose_samples(PublishConfig(samples="labelled"), dataset(MAX_LABELLED + 5))

    assert len(images) == MAX_LABELLED


def test_choice_is_as_balanced_as_the_classes_allow() -> None:
    labels = np.array([0] * 50 + [1] * 2 + [2] * 50)

    chosen = labels[balanced_rows(labels, 12)]

    assert np.bincount(chosen).tolist() == [5, 2, 5]


def test_choice_is_ascending_and_without_repetition() -> None:
    rows = balanced_rows(np.arange(30) % 4, 10)

    assert rows.tolist() == sorted(set(rows.tolist()))
