"""The networks by name: those of the articles, and the residual one for any size."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from training.architectures import build_network, check_architecture
from training.config import ArchitectureConfig
from training.config_file import ConfigError

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
        ("resnet", {}, "'resnet' is none of cifar10_cnn, efficientnetv2b0, fashion_mnist_cnn"),
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


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 31, 3), (64, 64, 3), (130, 200, 3)])
def test_residual_network_takes_any_size(shape: tuple[int, int, int]) -> None:
    network = build("resnet_small", shape)

    scores = network(np.zeros((2, *shape), np.uint8), training=False).numpy()

    assert scores.shape == (2, 10)
    assert 0.3e6 < network.count_params() < 1e6
    last = network.get_layer("stage_4_block_2_relu_2").output.shape
    assert max(last[1:3]) <= 13, "few enough places to average over"


def test_residual_network_has_the_sizes_that_it_is_told() -> None:
    network = build("resnet_small", (16, 16, 3), width=4, blocks=1)

    assert network.get_layer("stage_4_block_1_conv_2").filters == 32
    with pytest.raises(ValueError, match="stage_1_block_2"):
        network.get_layer("stage_1_block_2_conv_1")
    with pytest.raises(ConfigError, match="width is 0 and blocks is 1, both must be at least 1"):
        build("resnet_small", (16, 16, 3), width=0, blocks=1)


def test_residual_network_learns_from_a_few_pictures_within_a_few_steps() -> None:
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 3
    images = rng.integers(0, 120, (48, 16, 16, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):  # a bright row, column or corner
        image[[np.s_[4:8], np.s_[:, 4:8], np.s_[:8, :8]][label]] += 120
    network = build_network(
        ArchitectureConfig(name="resnet_small", options={"width": 8, "blocks": 1}), (16, 16, 3), 3
    )
    network.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")

    network.fit(images, labels, batch_size=16, epochs=12, verbose=0)  # 3 steps an epoch

    # With the running statistics, as the service computes: they have followed the weights.
    found = network(images, training=False).numpy().argmax(axis=1)
    assert np.mean(found == labels) >= 0.9


def test_size_is_refused_before_a_network_is_built() -> None:
    config = ArchitectureConfig(name="resnet_small")

    check_architecture(config, (8, 8, 1))
    with pytest.raises(ConfigError, match=r"must be at least 8 px \(data\.input\.height"):
        check_architecture(config, (64, 7, 3))
