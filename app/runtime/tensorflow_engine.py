"""Keras networks through TensorFlow: resident on the device, one compiled function."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from app.errors import ArtifactError, OutOfDeviceMemoryError
from app.runtime.padding import pad_to_allowed
from app.runtime.saved_model import GraphFunction
from app.types import EngineInfo, ImageArray, InputSpec, ScoreArray

logger = logging.getLogger(__name__)


class TensorFlowServable:
    """One network, compiled for the allowed batch sizes and resident on one device.

    The weights become constants of the compiled function. That is what lets oneDNN keep its own
    layout of each kernel; with variables it repacks them on every call, which on a CPU costs a
    lone image a third of its time (``benchmarks/README.md``). One function serves every batch
    size, because a function for each would hold its own copy of the weights; the sizes are
    still few, as every new shape costs a first execution.

    Uint8 crosses to the device; scaling and the calibration temperature are applied there.
    """

    def __init__(
        self,
        model: keras.Model | GraphFunction,
        spec: InputSpec,
        allowed_batch_sizes: Sequence[int],
        *,
        temperature: float = 1.0,
        scale: float = 1.0,
        offset: float = 0.0,
    ) -> None:
        """Compile ``model``, which is not needed afterwards.

        Args:
            model: A Keras network, or a frozen graph as a function.
                ``(N, H, W, C)`` uint8, 0..255, or what ``scale`` and ``offset`` make of it,
                in; ``(N, K)`` probabilities out.
            spec: The input it takes.
            allowed_batch_sizes: Ascending, images.
            temperature: Divides the logarithms of the probabilities before a softmax; 1 leaves
                them alone.
            scale: Factor on the pixels, where the network does not scale itself.
            offset: Added to the scaled pixels.
        """
        self._allowed_batch_sizes = tuple(allowed_batch_sizes)
        self._spec = spec
        gpus = tf.config.list_logical_devices("GPU")
        self._device = gpus[0].name if gpus else "/CPU:0"
        self._function: Any = scores_function(
            model, spec, self._device, (temperature, scale, offset)
        )
        device = (
            tf.config.experimental.get_device_details(
                tf.config.list_physical_devices("GPU")[0]
            ).get("device_name", "GPU")
            if gpus
            else "cpu"
        )
        self._info = EngineInfo("tensorflow", "float32", device)

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        return self._info

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1.

        Raises:
            OutOfDeviceMemoryError: The device has no room for this many images.
        """
        batch = pad_to_allowed(images, self._allowed_batch_sizes)
        try:
            scores: ScoreArray = self._function(tf.constant(batch)).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise OutOfDeviceMemoryError(
                f"The device has no memory for a batch of {len(batch)}."
            ) from error
        return scores[: len(images)]

    def warm_up(self) -> None:
        """Execute every allowed batch size once."""
        for size in self._allowed_batch_sizes:
            self.execute(np.zeros((size, *self._spec.shape), np.uint8))

    def close(self) -> None:
        """Drop the function and with it the weights."""
        self._function = None


def configure_tensorflow(threads: int = 0) -> None:
    """Let GPU memory grow with need instead of taking all of it; before the first use only.

    Args:
        threads: Cores that one execution takes on a CPU; 0: all that the process may use. All
            networks of a process share them.
    """
    if threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:  # TensorFlow has begun with another number and keeps it
            logger.warning("number of threads left as it is", extra={"threads": threads})
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # devices are initialised: set by an earlier load, or too late
            logger.debug("memory growth left as it is", extra={"device": gpu.name})


def load_model(path: Path) -> keras.Model:
    """Read a ``.keras`` file in safe mode: nothing in it is executed.

    Raises:
        ArtifactError: It is no Keras 3 model, or holds code such as a Lambda layer.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ArtifactError(f"{path.name} cannot be loaded: {error}") from error


def scores_function(
    model: keras.Model | GraphFunction,
    spec: InputSpec,
    device: str,
    numbers: tuple[float, float, float],
) -> Any:
    """Return a network as one compiled function with an open batch axis, weights inside.

    Args:
        model: A Keras network, or a frozen graph as a function.
        spec: The input it takes.
        device: Where it runs.
        numbers: Temperature, scale and offset, as ``TensorFlowServable`` has them.

    Returns:
        ``(N, H, W, C)`` uint8 tensor to ``(N, K)`` float32 tensor, rows sum to 1.
    """
    network = _with_constant_weights(model) if isinstance(model, keras.Model) else model
    temperature, scale, offset = numbers

    def scores_of(images: tf.Tensor) -> tf.Tensor:
        with tf.device(device):
            if (scale, offset) != (1.0, 0.0):
                images = tf.cast(images, tf.float32) * scale + offset
            scores = tf.cast(network(images), tf.float32)
            if temperature != 1.0:
                scores = tf.nn.softmax(tf.math.log(scores) / temperature)
            return scores  # (N, K) float32, rows sum to 1

    signature = [tf.TensorSpec((None, *spec.shape), tf.uint8)]
    # XLA is off: on CPUs it runs convolutions 60 times slower than oneDNN.
    compiled = tf.function(scores_of, input_signature=signature, jit_compile=False)
    return compiled.get_concrete_function()


def _with_constant_weights(model: keras.Model) -> GraphFunction:
    trainable = [v.numpy() for v in model.trainable_variables]
    others = [v.numpy() for v in model.non_trainable_variables]

    def network(images: tf.Tensor) -> tf.Tensor:
        scores, _ = model.stateless_call(
            [tf.constant(value) for value in trainable],
            [tf.constant(value) for value in others],
            images,
            training=False,
        )
        return scores

    return network
