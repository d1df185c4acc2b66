from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from app.types import ImageArray
from training.architectures import build_network
from training.config import RunConfig
from training.data.dataset import Dataset
from training.evaluation.evaluate import probabilities
from training.keras_networks import executable, non_finite_weights
from training.publishing.export import float32_network, round_trip_deviation

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def network(config: RunConfig, dataset: Dataset) -> keras.Model:
    keras.utils.set_random_seed(5)
    return build_network(config.architecture, dataset.spec.shape, len(dataset.classes))


@pytest.fixture(scope="module")
def images(dataset: Dataset) -> ImageArray:
    return dataset.test.images[:7]


def test_network_trained_in_mixed_precision_is_exported_in_float32(
    config: RunConfig, dataset: Dataset, images: ImageArray
) -> None:
    mixed = build_network(
        config.architecture, dataset.spec.shape, len(dataset.classes), precision="mixed_bfloat16"
    )

    exported = float32_network(mixed, config, dataset)

    assert {layer.dtype_policy.name for layer in exported.layers} == {"float32"}
    np.testing.assert_allclose(
        exported(images).numpy(),
        mixed(images).numpy(),
        atol=0.02,  # bfloat16 has 8 bits of mantissa
    )


def test_scores_do_not_depend_on_the_batch_an_image_is_in(
    network: keras.Model, images: ImageArray
) -> None:
    execute = executable(network)

    together = probabilities(execute, images, batch_size=8)
    alone = np.concatenate(
        [probabilities(execute, images[row : row + 1], batch_size=8) for row in range(7)]
    )

    np.testing.assert_array_equal(together, alone)


def test_saved_network_comes_back_the_same(
    network: keras.Model, images: ImageArray, tmp_path: Path
) -> None:
    network.save(tmp_path / "model.keras")
    scores = probabilities(executable(network), images)

    assert round_trip_deviation(tmp_path / "model.keras", images, scores) <= 1e-6


def test_other_network_in_the_file_is_noticed(
    network: keras.Model, config: RunConfig, dataset: Dataset, images: ImageArray, tmp_path: Path
) -> None:
    other = build_network(config.architecture, dataset.spec.shape, len(dataset.classes))
    other.save(tmp_path / "model.keras")
    scores = probabilities(executable(network), images)

    assert round_trip_deviation(tmp_path / "model.keras", images, scores) > 1e-3


def test_weights_that_are_not_finite_are_counted(config: RunConfig, dataset: Dataset) -> None:
    broken = build_network(config.architecture, dataset.spec.shape, len(dataset.classes))
    assert non_finite_weights(broken) == 0
    first, *rest = broken.get_weights()
    first.flat[:2] = np.nan, np.inf

    broken.set_weights([first, *rest])

    assert non_finite_weights(broken) == 2
