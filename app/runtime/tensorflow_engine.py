"""Keras networks through TensorFlow: resident on the device, one compiled function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from app.errors import ArtifactError, OutOfDeviceMemoryError
from app.runtime.host import usable_cores
from app.runtime.padding import pad_to_allowed
from app.runtime.policy import NumberFormat
from app.runtime.saved_model import GraphFunction
from app.runtime.staged_images import StagedImages
from app.runtime.tensorflow_devices import CPU, Device, memory_of
from app.runtime.tensorflow_streams import Call, GraphStreams
from app.types import EngineInfo, EngineMemory, Execute, ImageArray, InputSpec, ScoreArray


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
        device: Device = CPU,
        precision: NumberFormat = "float32",
        is_xla: bool = False,
        threads: int = 0,
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
            device: Where it runs.
            precision: What ``model`` computes in: what ``info`` tells.
            is_xla: Whether XLA compiles it, for each batch size at its first execution.
            threads: Cores that one execution takes on a CPU; 0: all that the process may use.
        """
        self._allowed_batch_sizes = tuple(allowed_batch_sizes)
        self._spec = spec
        self._device = device
        self._function: Any = scores_function(
            model, spec, device.name, (temperature, scale, offset), is_xla=is_xla
        )
        self.cores = threads or usable_cores()
        self._streams: list[GraphStreams] = []
        self._info = EngineInfo("tensorflow", precision, device.title, device.id)

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        return self._info

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1.

        Raises:
            OutOfDeviceMemoryError: The device has no room for this many images.
        """
        batch = tf.constant(pad_to_allowed(images, self._allowed_batch_sizes))
        return self._scores(batch)[: len(images)]

    def warm_up(self, execute: Execute | None = None) -> None:
        """Execute every allowed batch size once; by ``execute``, if it is given.

        Raises:
            ArtifactError: The device cannot execute the network.
        """
        for size in self._allowed_batch_sizes:
            try:
                (execute or self.execute)(np.zeros((size, *self._spec.shape), np.uint8))
            except tf.errors.OpError as error:
                reason = error.message.strip().splitlines()[0]
                raise ArtifactError(
                    f"{self._device.title} cannot execute the network in {self._info.precision}: "
                    f"{reason}"
                ) from error

    def close(self) -> None:
        """Drop the function and with it the weights."""
        self._function = None
        for streams in self._streams:
            streams.close()
        self._streams = []

    def on_all_cores(self) -> Execute:
        """Return what executes for one more thread, on all cores: any number of them may."""
        return self.execute

    def on_streams(self, count: int) -> list[Execute]:
        """Copy the network for ``count`` executions at a time, each with its share of the cores.

        Raises:
            ArtifactError: A session cannot execute it.
        """
        largest = np.zeros((self._allowed_batch_sizes[-1], *self._spec.shape), np.uint8)
        with ExitStack() as undo:
            try:
                streams = GraphStreams(self._function, count, max(1, self.cores // count))
                undo.callback(streams.close)
                for call in dict.fromkeys(streams.calls):  # what it cannot do, a session tells then
                    call(largest)
            except (TypeError, ValueError, tf.errors.OpError) as error:
                message = f"two executions at a time are not possible: {error}"
                raise ArtifactError(message) from error
            undo.pop_all()
        self._streams.append(streams)
        return [partial(self._execute_by, call) for call in streams.calls]

    def _execute_by(self, call: Call, images: ImageArray) -> ScoreArray:
        batch = pad_to_allowed(images, self._allowed_batch_sizes)
        with _telling_memory(len(batch)):
            return call(batch)[: len(images)]

    def _scores(self, batch: tf.Tensor) -> ScoreArray:
        """Execute ``(N, H, W, C)`` uint8, N an allowed size, → ``(N, K)`` float32."""
        with _telling_memory(len(batch)):
            scores: ScoreArray = self._function(batch).numpy()
        return scores


@contextmanager
def _telling_memory(size: int) -> Iterator[None]:
    """Raise ``OutOfDeviceMemoryError`` where TensorFlow has no memory for a batch of ``size``."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise OutOfDeviceMemoryError(f"The device has no memory for a batch of {size}.") from error


class StagedTensorFlowServable(TensorFlowServable):
    """The same on a device with memory of its own: a batch can be copied while another executes.

    TensorFlow copies on a stream of its own, beside the one that computes
    (``GPUUtil::CopyCPUTensorToGPU``). The host's side of the copy is pageable memory: TensorFlow 2
    has no public way to place a tensor in pinned memory (tensorflow/tensorflow#45730), so that the
    driver puts a pinned buffer of its own between.
    """

    @property
    def memory_reader(self) -> Callable[[], EngineMemory]:
        """Asks TensorFlow what it holds of the device's memory."""
        return partial(memory_of, self._device)

    def stage(self, images: ImageArray) -> StagedImages[tf.Tensor]:
        """Copy ``(N, H, W, C)`` uint8 to the device; another thread may be in ``execute``."""
        with tf.device(self._device.name):
            batch = tf.constant(pad_to_allowed(images, self._allowed_batch_sizes))
        return StagedImages(batch, len(images))

    def execute_staged(self, staged: StagedImages[tf.Tensor]) -> ScoreArray:
        """Classify what ``stage`` has copied → ``(N, K)`` float32, rows sum to 1.

        Raises:
            OutOfDeviceMemoryError: The device has no room for this many images.
        """
        return self._scores(staged.batch)[: staged.count]


def scores_function(
    model: keras.Model | GraphFunction,
    spec: InputSpec,
    device: str,
    numbers: tuple[float, float, float],
    *,
    is_xla: bool = False,
) -> Any:
    """Return a network as one compiled function with an open batch axis, weights inside.

    Args:
        model: A Keras network, or a frozen graph as a function.
        spec: The input it takes.
        device: Where it runs.
        numbers: Temperature, scale and offset, as ``TensorFlowServable`` has them.
        is_xla: Whether XLA compiles it. On CPUs that runs convolutions 60 times slower than oneDNN.

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
    compiled = tf.function(scores_of, input_signature=signature, jit_compile=is_xla)
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
