"""The jax engine on tiny random networks, on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from app.errors import ArtifactError, OutOfDeviceMemoryError
from app.runtime.jax_devices import find_devices
from app.runtime.jax_engine import JaxServable, StagedJaxServable
from app.runtime.mixed_precision import in_precision
from app.types import EngineInfo, ImageArray, InputSpec, StagingServable
from tests.jax.networks import network_too_large_for_company, network_without_an_implementation
from tests.keras.networks import SPEC, small_network

SIZES = (1, 2, 4, 8)
CPU = find_devices(("cpu:0",))[0]


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return small_network()


@pytest.fixture(scope="module")
def images() -> ImageArray:
    return np.random.default_rng(1).integers(0, 256, (8, *SPEC.shape), dtype=np.uint8)


def test_answers_are_those_of_the_network(network: keras.Model, images: ImageArray) -> None:
    servable = JaxServable(network, SPEC, SIZES, device=CPU)
    scores = servable.execute(images)
    expected = np.asarray(network(images, training=False))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert servable.info == EngineInfo("jax", "float32", "cpu")


@pytest.mark.parametrize("count", range(1, 9))
def test_an_image_gets_the_same_scores_in_any_batch(
    network: keras.Model, images: ImageArray, count: int
) -> None:
    servable = JaxServable(network, SPEC, SIZES, device=CPU)
    servable.warm_up()
    together = servable.execute(images[:count])
    assert together.shape == (count, 5)
    for row in range(count):
        alone = servable.execute(images[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_temperature_flattens_the_scores_and_keeps_their_order(
    network: keras.Model, images: ImageArray
) -> None:
    plain = JaxServable(network, SPEC, SIZES, device=CPU).execute(images)
    scores = JaxServable(network, SPEC, SIZES, device=CPU, temperature=2.0).execute(images)
    expected = np.sqrt(plain) / np.sqrt(plain).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_scale_and_offset_are_applied_before_the_network(images: ImageArray) -> None:
    image = keras.Input(SPEC.shape)
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    servable = JaxServable(network, SPEC, SIZES, scale=1 / 127.5, offset=-1.0, device=CPU)
    expected = images.astype(np.float32).mean(axis=(1, 2)) / 127.5 - 1
    np.testing.assert_allclose(servable.execute(images), expected, atol=1e-5)


def test_servable_keeps_the_weights_it_was_built_with(images: ImageArray) -> None:
    image = keras.Input(SPEC.shape)
    dense = keras.layers.Dense(2, activation="softmax")
    network = keras.Model(image, dense(keras.layers.Flatten()(image)))
    servable = JaxServable(network, SPEC, SIZES, device=CPU)
    before = servable.execute(images)
    dense.set_weights([weight * 0 for weight in dense.get_weights()])
    np.testing.assert_array_equal(servable.execute(images), before)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_16_bits_are_near_float32_and_are_not_it(
    network: keras.Model, images: ImageArray, precision: str
) -> None:
    exact = JaxServable(network, SPEC, SIZES, device=CPU).execute(images)
    rough = JaxServable(
        in_precision(network, precision),  # type: ignore[arg-type]
        SPEC,
        SIZES,
        device=CPU,
        precision=precision,  # type: ignore[arg-type]
    )
    rough.warm_up()
    assert rough.info.precision == precision
    scores = rough.execute(images)
    assert 1e-6 < np.abs(scores - exact).max() < 0.02
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


def test_too_little_device_memory_has_an_error_of_its_own_and_is_survived() -> None:
    spec = InputSpec(1, 1, 1)
    network = network_too_large_for_company(width=10**13)
    servable = JaxServable(network, spec, (1, 2), device=CPU)
    with pytest.raises(OutOfDeviceMemoryError, match="a batch of 2"):
        servable.execute(np.zeros((2, 1, 1, 1), np.uint8))
    np.testing.assert_array_equal(servable.execute(np.full((1, 1, 1, 1), 7, np.uint8)), [[7, 7]])
    with pytest.raises(OutOfDeviceMemoryError, match="a batch of 2"):
        servable.warm_up()


def network_of_other_images() -> keras.Model:
    image = keras.Input((2, 2, 3))  # the servable is told of one channel
    return keras.Model(image, keras.layers.Conv2D(1, 1)(image))


@pytest.mark.parametrize(
    "make", [network_of_other_images, network_without_an_implementation], ids=["shape", "operation"]
)
def test_what_jax_cannot_trace_is_refused_when_it_warms_up(
    make: Callable[[], keras.Model],
) -> None:
    network = make()
    servable = JaxServable(network, InputSpec(2, 2, 1), (1,), device=CPU)
    with pytest.raises(ArtifactError, match="cpu cannot execute the network in float32"):
        servable.warm_up()


@pytest.mark.parametrize("count", [1, 3, 4])
def test_images_that_were_copied_ahead_get_the_same_answers(
    network: keras.Model, images: ImageArray, count: int
) -> None:
    plain = JaxServable(network, SPEC, (1, 4), device=CPU)
    servable = StagedJaxServable(network, SPEC, (1, 4), device=CPU)
    servable.warm_up()
    staged = servable.stage(images[:count])
    servable.execute(images[4:])  # what executes meanwhile does not get into its way
    found = servable.execute_staged(staged)
    assert found.shape == (count, 5)
    np.testing.assert_allclose(found, plain.execute(images[:count]), atol=1e-6)


def test_only_devices_with_memory_of_their_own_are_copied_to(network: keras.Model) -> None:
    assert isinstance(StagedJaxServable(network, SPEC, (1,), device=CPU), StagingServable)
    assert not isinstance(JaxServable(network, SPEC, (1,), device=CPU), StagingServable)


def test_closing_twice_does_no_harm_and_leaves_the_network_whole(
    network: keras.Model, images: ImageArray
) -> None:
    servable = JaxServable(network, SPEC, SIZES, device=CPU)
    servable.warm_up()
    expected = servable.execute(images)
    servable.close()
    servable.close()
    again = JaxServable(network, SPEC, SIZES, device=CPU)
    np.testing.assert_array_equal(again.execute(images), expected)
