"""Transfer learning, with random weights in the place of those of ImageNet."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from training.architectures import (
    BACKBONE,
    build_network,
    check_architecture,
    set_backbone_trainable,
)
from training.architectures.pretrained import RESNET50_V2
from training.config import ArchitectureConfig
from training.config_file import ConfigError

pytestmark = pytest.mark.keras

FILES = {
    "efficientnetv2b0": "efficientnetv2-b0_notop.h5",
    "mobilenetv3": "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    "resnet50v2": "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
SMALLEST = (32, 32, 3)


def config(name: str, **options: str | float) -> ArchitectureConfig:
    return ArchitectureConfig(name=name, options={"weights": "none", **options})


def images_of(channels: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (2, 32, 32, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    """The smallest of them, for what holds for all."""
    keras.utils.set_random_seed(2)
    return build_network(config("mobilenetv3"), SMALLEST, 3)


@pytest.mark.parametrize("name", FILES)
def test_network_keeps_its_answers_through_a_file_that_needs_no_code(
    name: str, tmp_path: Path
) -> None:
    network = build_network(config(name), (32, 32, 1), 3)  # grey, the more difficult case
    network.save(tmp_path / "network.keras")

    loaded = keras.models.load_model(tmp_path / "network.keras", compile=False, safe_mode=True)

    expected = network(images_of(1), training=False).numpy()
    np.testing.assert_allclose(loaded(images_of(1), training=False).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-6)
    assert loaded.get_layer(BACKBONE).count_params() > 0.9 * loaded.count_params()


@pytest.mark.parametrize(
    ("name", "options", "prepare"),
    [
        ("resnet50v2", {}, keras.applications.resnet_v2.preprocess_input),
        ("mobilenetv3", {}, keras.applications.resnet_v2.preprocess_input),  # -1..1 as well
    ],
)
def test_backbone_is_given_what_its_weights_were_trained_with(
    name: str, options: dict[str, str], prepare: object
) -> None:
    network = build_network(config(name, **options), SMALLEST, 3)
    first = keras.Model(network.input, network.get_layer("rescaling").output)

    expected = prepare(images_of().astype(np.float32))  # type: ignore[operator]
    np.testing.assert_allclose(first(images_of()).numpy(), expected, atol=1e-6)


def test_efficientnet_scales_by_itself() -> None:
    network = build_network(config("efficientnetv2b0"), SMALLEST, 3)

    first = keras.Model(network.input, network.get_layer("rescaling").output)
    np.testing.assert_array_equal(first(images_of()).numpy(), images_of())
    inner = [type(layer).__name__ for layer in network.get_layer(BACKBONE).layers]
    assert inner[1:3] == ["Rescaling", "Normalization"]


def test_sizes_of_mobilenet_can_be_chosen(mobilenet: keras.Model) -> None:
    large = build_network(config("mobilenetv3", size="large"), SMALLEST, 3)

    assert large.count_params() > 3 * mobilenet.count_params()
    with pytest.raises(ConfigError, match="size is 'huge', must be small or large"):
        build_network(config("mobilenetv3", size="huge"), SMALLEST, 3)


def changes_in_a_step(network: keras.Model, *, trainable: bool) -> tuple[bool, bool]:
    """Train one step; return whether the backbone's statistics and its kernels have moved."""
    backbone = network.get_layer(BACKBONE)
    set_backbone_trainable(network, trainable=trainable)
    network.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
    before = [weight.numpy() for weight in backbone.weights]
    network.fit(images_of(), keras.utils.to_categorical([0, 2], 3), verbose=0)
    moved = [
        weight.name
        for weight, old in zip(backbone.weights, before, strict=True)
        if np.any(old != weight.numpy())
    ]
    return any("moving" in name for name in moved), any("kernel" in name for name in moved)


def test_frozen_backbone_keeps_its_weights_and_a_pretrained_one_always_its_statistics(
    mobilenet: keras.Model, tmp_path: Path
) -> None:
    path = tmp_path / "backbone.weights.h5"
    mobilenet.get_layer(BACKBONE).save_weights(path)
    network = build_network(config("mobilenetv3", weights=str(path)), SMALLEST, 3)

    assert changes_in_a_step(network, trainable=False) == (False, False)
    assert changes_in_a_step(network, trainable=True) == (False, True)

    network.save(tmp_path / "checkpoint.keras")
    loaded = keras.models.load_model(tmp_path / "checkpoint.keras")
    assert changes_in_a_step(loaded, trainable=True) == (False, True)


def test_backbone_without_weights_learns_its_statistics() -> None:
    network = build_network(config("mobilenetv3"), SMALLEST, 3)

    assert changes_in_a_step(network, trainable=False) == (False, False)
    assert changes_in_a_step(network, trainable=True) == (True, True)


def test_network_for_other_weights_is_built_without_looking_for_pretrained_ones(
    mobilenet: keras.Model,
) -> None:
    missing = config("mobilenetv3", weights="/none.h5")

    network = build_network(missing, SMALLEST, 3, pretrained=False)
    network.set_weights(mobilenet.get_weights())

    assert network.name == "mobilenetv3"
    np.testing.assert_array_equal(
        network(images_of(), training=False).numpy(), mobilenet(images_of(), training=False).numpy()
    )


@pytest.mark.parametrize("suffix", [".weights.h5", "_notop.h5"])
def test_weights_are_taken_from_a_file(suffix: str, mobilenet: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / f"backbone{suffix}"
    backbone = mobilenet.get_layer(BACKBONE)
    (backbone.save_weights if suffix == ".weights.h5" else backbone.save)(path)

    network = build_network(config("mobilenetv3", weights=str(path)), (40, 40, 3), 5)

    loaded = network.get_layer(BACKBONE).get_weights()
    for weight, expected in zip(loaded, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_file_that_is_missing_or_of_another_network_is_refused(
    mobilenet: keras.Model, tmp_path: Path
) -> None:
    other = tmp_path / "other.weights.h5"
    mobilenet.save_weights(other)
    (tmp_path / "weights.npz").write_bytes(b"")

    for weights, message in (
        (str(tmp_path / "none.h5"), r"no file '.*none\.h5'; must be imagenet, none, or the path"),
        (str(tmp_path / "weights.npz"), r"weights\.npz is no \.h5 file; expected one such as"),
        (str(other), rf"does not hold the weights of this backbone .* \({FILES['mobilenetv3']}\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_architecture(config("mobilenetv3", weights=weights))


@pytest.mark.parametrize("name", FILES)
def test_download_that_fails_names_the_file_its_place_and_the_way_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens: fails at once
    # Keras reads its variable KERAS_HOME once, on import.
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))

    with pytest.raises(ConfigError) as caught:
        check_architecture(ArchitectureConfig(name=name))

    message = str(caught.value)
    assert f"{FILES[name]} is not in ~/.keras/models and cannot be downloaded" in message
    assert "--set architecture.options.weights=PATH takes a file" in message
    assert FILES[name] in str(caught.value.__cause__), "what Keras asked for"


def test_images_below_32_px_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"resnet50v2 cannot be built for .* at least 32 px"):
        check_architecture(config("resnet50v2"), (31, 64, 3))
    assert RESNET50_V2.weights_file == FILES["resnet50v2"]
