"""The TensorFlow engine on tiny random networks, on the CPU."""

from pathlib import Path

import keras
import numpy as np
import pytest

from app.errors import ArtifactError, OutOfDeviceMemoryError
from app.runtime.keras_file import load_model
from app.runtime.tensorflow_engine import TensorFlowServable
from app.types import ImageArray, InputSpec
from tests.keras.networks import SPEC, small_network

pytestmark = pytest.mark.keras

SIZES = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return small_network()


@pytest.fixture(scope="module")
def images() -> ImageArray:
    return np.random.default_rng(1).integers(0, 256, (8, *SPEC.shape), dtype=np.uint8)


def test_answers_are_those_of_the_network(network: keras.Model, images: ImageArray) -> None:
    servable = TensorFlowServable(network, SPEC, SIZES)
    scores = servable.execute(images)
    expected = network(images, training=False).numpy()
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("count", range(1, 9))
def test_an_image_gets_the_same_scores_in_any_batch(
    network: keras.Model, images: ImageArray, count: int
) -> None:
    servable = TensorFlowServable(network, SPEC, SIZES)
    servable.warm_up()
    together = servable.execute(images[:count])
    assert together.shape == (count, 5)
    for row in range(count):
        alone = servable.execute(images[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_temperature_flattens_the_scores_and_keeps_their_order(
    network: keras.Model, images: ImageArray
) -> None:
    plain = TensorFlowServable(network, SPEC, SIZES).execute(images)
    scores = TensorFlowServable(network, SPEC, SIZES, temperature=2.0).execute(images)
    expected = np.sqrt(plain) / np.sqrt(plain).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_scale_and_offset_are_applied_before_the_network(images: ImageArray) -> None:
    image = keras.Input(SPEC.shape)
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    servable = TensorFlowServable(network, SPEC, SIZES, scale=1 / 127.5, offset=-1.0)
    expected = images.astype(np.float32).mean(axis=(1, 2)) / 127.5 - 1
    np.testing.assert_allclose(servable.execute(images), expected, atol=1e-5)


def test_the_compiled_function_keeps_the_weights_it_was_built_with(images: ImageArray) -> None:
    image = keras.Input(SPEC.shape)
    dense = keras.layers.Dense(2, activation="softmax")
    network = keras.Model(image, dense(keras.layers.Flatten()(image)))
    servable = TensorFlowServable(network, SPEC, SIZES)
    before = servable.execute(images)
    dense.set_weights([weight * 0 for weight in dense.get_weights()])
    np.testing.assert_array_equal(servable.execute(images), before)


def test_too_little_device_memory_has_an_error_of_its_own() -> None:
    image = keras.Input((1, 1, 1))
    # 10^14 floats are beyond any address space, so that no machine tries to give them.
    huge = keras.layers.UpSampling2D((10_000_000, 10_000_000))(image)
    network = keras.Model(image, keras.layers.GlobalMaxPooling2D()(huge))
    servable = TensorFlowServable(network, InputSpec(1, 1, 1), SIZES)
    with pytest.raises(OutOfDeviceMemoryError, match="batch of 2"):
        servable.execute(np.zeros((2, 1, 1, 1), np.uint8))


def test_a_saved_network_is_read_and_a_broken_file_is_refused(
    network: keras.Model, tmp_path: Path
) -> None:
    network.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").count_params() == network.count_params()
    (tmp_path / "broken.keras").write_bytes(b"no zip archive")
    with pytest.raises(ArtifactError, match=r"broken\.keras is no readable \.keras file"):
        load_model(tmp_path / "broken.keras")


def test_a_network_that_carries_code_is_refused(tmp_path: Path) -> None:
    image = keras.Input((2, 2, 1))
    network = keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image))
    network.save(tmp_path / "model.keras")
    with pytest.raises(ArtifactError, match="Lambda"):
        load_model(tmp_path / "model.keras")
