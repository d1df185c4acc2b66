"""Networks of many kinds in other number formats: what changes, what stays, how near it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from app.artifacts.manifest import ManifestInput
from app.errors import ArtifactError
from app.runtime.mixed_precision import in_precision
from app.runtime.policy import EnginePolicy, NumberFormat
from app.runtime.tensorflow_devices import CPU
from app.runtime.tensorflow_engine import TensorFlowServable
from app.runtime.tensorflow_loading import load_on_devices
from app.types import ImageArray, InputSpec
from tests.factories.versions import make_manifest

pytestmark = pytest.mark.keras

SPEC = InputSpec(8, 8, 3)
IMAGES: ImageArray = np.random.default_rng(5).integers(0, 256, (6, *SPEC.shape), np.uint8)


def plain() -> keras.Model:
    image = keras.Input(SPEC.shape, dtype="uint8")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scaling")(image)
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = layers.BatchNormalization()(
        layers.Add()([x, layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image))])
    )
    return keras.Model(image, layers.Dense(5, "softmax", name="scores")(layers.Flatten()(x)))


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(SPEC.shape, dtype="uint8"),
            layers.Rescaling(1 / 255, name="scaling"),
            layers.Conv2D(4, 3, name="conv"),
            layers.Flatten(),
            layers.Dense(5),
            layers.Softmax(name="scores"),
        ]
    )


def nested() -> keras.Model:
    inner = keras.Sequential(
        [
            keras.Input(SPEC.shape),
            layers.Conv2D(4, 3, activation=layers.LeakyReLU(), name="conv"),
            layers.Flatten(),
            layers.Dense(5, "softmax", name="scores"),
        ],
        name="network",
    )
    image = keras.Input(SPEC.shape, dtype="uint8")
    x = layers.Rescaling(1 / 255, name="scaling")(image)
    return keras.Model(image, layers.Activation("linear", name="outside")(inner(x)))


def shared_and_wrapped() -> keras.Model:
    image = keras.Input(SPEC.shape, dtype="uint8")
    x = layers.Rescaling(1 / 255, name="scaling")(image)
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    x = conv(conv(x))
    x = layers.TimeDistributed(layers.Dense(2))(layers.Reshape((8, 24))(x))
    x = layers.Bidirectional(layers.LSTM(4))(x)
    return keras.Model(image, layers.Dense(5, "softmax", name="scores")(x))


def attention() -> keras.Model:
    image = keras.Input(SPEC.shape, dtype="uint8")
    x = layers.Rescaling(1 / 255, name="scaling")(image)
    x = layers.Reshape((16, 8))(layers.Conv2D(2, 3, padding="same", name="conv")(x))
    x = layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(x, x) + x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(image, layers.Dense(5, "softmax", name="scores")(x))


def policies(network: keras.Model) -> dict[str, str]:
    return dict(layer_policies(network.get_config()))


def layer_policies(part: Any) -> Iterator[tuple[str, str]]:
    """Yield name and policy of every layer, nested and wrapped ones included."""
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
    if isinstance(part, dict) and "dtype" in part and isinstance(part["dtype"], dict):
        yield part["name"], part["dtype"]["config"]["name"]
    for inner in parts:
        yield from layer_policies(inner)


NETWORKS = [plain, sequential, nested, shared_and_wrapped, attention]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("build", NETWORKS)
def test_layers_change_but_for_the_ends_and_the_answers_stay_near(
    build: type[keras.Model], precision: NumberFormat
) -> None:
    keras.utils.set_random_seed(1)
    network = build()
    rough = in_precision(network, precision)

    found = policies(rough)
    assert found["conv"] == f"mixed_{precision}"
    assert (found["scaling"], found["scores"]) == ("float32", "float32")
    servable = TensorFlowServable(rough, SPEC, (8,), device=CPU, precision=precision)
    scores = servable.execute(IMAGES)
    exact = TensorFlowServable(network, SPEC, (8,)).execute(IMAGES)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(scores, exact, atol=0.03)
    assert not np.array_equal(scores, exact), "computed in float32 after all"
    assert servable.info.precision == precision


def test_a_network_that_was_published_in_mixed_precision_stays_so_in_float32() -> None:
    network = in_precision(plain(), "bfloat16")
    assert in_precision(network, "float32") is network


def test_nothing_is_built_where_nothing_changes() -> None:
    network = in_precision(plain(), "float16")
    assert in_precision(network, "float16") is network


def test_the_network_that_it_is_made_from_stays_as_it_is() -> None:
    network = plain()
    before = policies(network)
    in_precision(network, "bfloat16")
    assert policies(network) == before


def test_operations_that_16_bits_have_no_kernel_for_are_an_error_with_a_reason(
    tmp_path: Path,
) -> None:
    image = keras.Input(SPEC.shape, dtype="uint8")
    x = layers.Dense(16)(layers.Flatten()(layers.Rescaling(1 / 255)(image)))
    x = layers.Flatten()(keras.ops.inv(layers.Reshape((4, 4))(x)))
    network = keras.Model(image, layers.Dense(3, "softmax")(x))
    network.save(tmp_path / "model.keras")
    manifest = make_manifest(input=ManifestInput(height=8, width=8, channels=3))

    assert load_on_devices(tmp_path, manifest, EnginePolicy("tensorflow", "float32"))
    with pytest.raises(ArtifactError, match="cannot be compiled in bfloat16"):
        load_on_devices(tmp_path, manifest, EnginePolicy("tensorflow", "bfloat16"))


def test_layers_of_other_formats_are_left_alone() -> None:
    image = keras.Input(SPEC.shape, dtype="uint8")
    x = layers.Conv2D(2, 3, name="conv")(image)
    x = layers.Dense(4, dtype="float64", name="double")(layers.Flatten()(x))
    found = policies(in_precision(keras.Model(image, layers.Dense(5, "softmax")(x)), "bfloat16"))
    assert (found["conv"], found["double"]) == ("mixed_bfloat16", "float64")
