"""The two networks are those of the articles."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from training.architectures import build_network
from training.config import ArchitectureConfig, ConfigError

pytestmark = pytest.mark.keras

CIFAR10_LAYERS = [
    "InputLayer", "Rescaling", "BatchNormalization",
    *["Conv2D", "MaxPooling2D", "BatchNormalization"] * 4,
    "Flatten",
    *["Dense", "Dropout", "BatchNormalization"] * 4,
    "Dense",
]  # fmt: skip
FASHION_MNIST_LAYERS = [
    "InputLayer", "Rescaling",
    *["Conv2D", "MaxPooling2D", "Dropout"] * 2,
    "Flatten", "Dense", "Dropout", "Dense",
]  # fmt: skip
NETWORKS = {
    "cifar10_cnn": ((32, 32, 3), CIFAR10_LAYERS, 5_146_390, 5_140_624),
    "fashion_mnist_cnn": ((28, 28, 1), FASHION_MNIST_LAYERS, 412_778, 412_778),
}


def build(name: str, shape: tuple[int, int, int], **options: float) -> keras.Model:
    return build_network(ArchitectureConfig(name=name, options=options), shape, 10)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_has_the_layers_and_parameters_of_its_article(name: str) -> None:
    shape, layer_names, parameters, trainable = NETWORKS[name]

    network = build(name, shape)

    assert [type(layer).__name__ for layer in network.layers] == layer_names
    assert network.count_params() == parameters
    assert sum(int(np.prod(w.shape)) for w in network.trainable_weights) == trainable


@pytest.mark.parametrize("name", NETWORKS)
def test_network_takes_uint8_and_gives_probabilities(name: str) -> None:
    shape, *_ = NETWORKS[name]
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)

    scores = build(name, shape)(images, training=False).numpy()

    assert scores.shape == (3, 10)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


def test_mixed_precision_keeps_weights_and_scores_in_float32() -> None:
    network = build_network(
        ArchitectureConfig(name="fashion_mnist_cnn"), (28, 28, 1), 10, precision="mixed_bfloat16"
    )

    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network.output.dtype == "float32"
    assert network.get_layer("conv_1").compute_dtype == "bfloat16"
    assert keras.mixed_precision.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {}, "'resnet' is none of cifar10_cnn, fashion_mnist_cnn"),
        ("cifar10_cnn", {"width": 2}, "cifar10_cnn has no 'width', it has dropout"),
        ("cifar10_cnn", {"classes": 3}, "cifar10_cnn has no 'classes', it has dropout"),
    ],
    ids=["network", "option", "option that the data set decides"],
)
def test_unknown_name_is_refused(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, (32, 32, 3), **options)


def test_input_too_small_for_its_poolings_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cifar10_cnn cannot be built for \(8, 8, 3\)"):
        build("cifar10_cnn", (8, 8, 3))
