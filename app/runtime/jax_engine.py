"""Keras networks through JAX: resident on the device, compiled by XLA for each batch size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from app.errors import ArtifactError, OutOfDeviceMemoryError
from app.runtime.jax_devices import Device, memory_of
from app.runtime.padding import pad_to_allowed
from app.runtime.policy import NumberFormat
from app.runtime.staged_images import StagedImages
from app.types import EngineInfo, EngineMemory, ImageArray, InputSpec, ScoreArray

FLOAT32_MATMUL_PRECISION = "highest"
"""What a product of float32 numbers is computed in, on devices that have a choice: ``highest`` is
float32, as on CPUs and with OpenVINO. ``default`` lets GPUs round both factors to ten bits (TF32),
which is faster, and 0.003 away from what was recorded (decision 33). Who wants that speed has
float16 and bfloat16, which are tried first."""


class JaxServable:
    """One network, resident on one device, with an executable for each allowed batch size.

    The weights are arguments of the executables, which share them: as constants, each would hold
    its own. Uint8 crosses to the device; scaling and the calibration temperature are applied there.
    """

    def __init__(
        self,
        network: keras.Model,
        spec: InputSpec,
        allowed_batch_sizes: Sequence[int],
        *,
        temperature: float = 1.0,
        scale: float = 1.0,
        offset: float = 0.0,
        device: Device,
        precision: NumberFormat = "float32",
        matmul_precision: str = FLOAT32_MATMUL_PRECISION,
    ) -> None:
        """Copy the weights to the device; nothing is compiled before ``warm_up``.

        Args:
            network: ``(N, H, W, C)`` uint8, 0..255, or what ``scale`` and ``offset`` make of it,
                in; ``(N, K)`` probabilities out.
            spec: The input it takes.
            allowed_batch_sizes: Ascending, images.
            temperature: Divides the logarithms of the probabilities before a softmax; 1 leaves
                them alone.
            scale: Factor on the pixels, where the network does not scale itself.
            offset: Added to the scaled pixels.
            device: Where it runs.
            precision: What ``network`` computes in: what ``info`` tells.
            matmul_precision: Of products in float32, in JAX's words; counts only where
                ``precision`` is float32.

        Raises:
            OutOfDeviceMemoryError: The device has no room for the weights.
        """
        self._allowed_batch_sizes = tuple(allowed_batch_sizes)
        self._spec = spec
        self._device = device
        self._info = EngineInfo("jax", precision, device.title, device.id)
        self._matmul_precision = matmul_precision if precision == "float32" else None
        self._function: Any = jax.jit(scores_function(network, temperature, scale, offset))
        self._executables: dict[int, Callable[..., Any]] = {}
        values = [variable.value for variable in network.trainable_variables]
        others = [variable.value for variable in network.non_trainable_variables]
        with _memory_errors("its weights"):
            weights = jax.device_put((values, others), device.handle)
            self._weights: Any = jax.block_until_ready(weights)

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        return self._info

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1.

        Raises:
            OutOfDeviceMemoryError: The device has no room for this many images.
        """
        return self._scores(self._copy(images))[: len(images)]

    def warm_up(self) -> None:
        """Compile every allowed batch size, as many at once as there are cores, and execute it.

        Raises:
            ArtifactError: The device cannot execute the network.
            OutOfDeviceMemoryError: It has no room for one of the sizes.
        """
        try:
            self._compile_all()
            for size in self._allowed_batch_sizes:
                self.execute(np.zeros((size, *self._spec.shape), np.uint8))
        except (jax.errors.JaxRuntimeError, TypeError, ValueError, NotImplementedError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ArtifactError(
                f"{self._device.title} cannot execute the network in {self._info.precision}: "
                f"{reason}"
            ) from error

    def close(self) -> None:
        """Drop the executables and the weights."""
        self._executables = {}
        self._function = None
        self._weights = None

    def _compile_all(self) -> None:
        sizes = [size for size in self._allowed_batch_sizes if size not in self._executables]
        # One after the other: Keras traces in this thread. The work of XLA is in `compile`.
        lowered = [self._lower(size) for size in sizes]
        with ThreadPoolExecutor(os.cpu_count() or 1, "compile") as pool:
            for size, executable in zip(sizes, pool.map(_compile, sizes, lowered), strict=True):
                self._executables[size] = executable
        self._function = None  # and with it the network, whose weights are in the host's memory

    def _lower(self, size: int) -> Any:
        """Describe the execution of ``size`` images, for XLA to compile."""
        images = jax.ShapeDtypeStruct(
            (size, *self._spec.shape),
            np.uint8,
            sharding=jax.sharding.SingleDeviceSharding(self._device.handle),
        )
        with jax.default_matmul_precision(self._matmul_precision):
            return self._function.lower(self._weights, images)

    def _copy(self, images: ImageArray) -> Any:
        """Begin to copy ``(N, H, W, C)`` uint8 → ``(allowed size, H, W, C)`` on the device."""
        batch = pad_to_allowed(images, self._allowed_batch_sizes)
        with _memory_errors(f"a batch of {len(batch)}"):
            return jax.device_put(batch, self._device.handle)

    def _scores(self, batch: Any) -> ScoreArray:
        """Execute ``(N, H, W, C)`` uint8, N an allowed size, → ``(N, K)`` float32."""
        size = len(batch)
        if size not in self._executables:  # before `warm_up`
            self._executables[size] = _compile(size, self._lower(size))
        with _memory_errors(f"a batch of {size}"):
            # Waits for copy and execution: what failed in either is raised here.
            return np.asarray(self._executables[size](self._weights, batch))


class StagedJaxServable(JaxServable):
    """The same on a device with memory of its own: a batch can be copied while another executes.

    JAX copies on a stream of its own, beside the one that computes, through pinned memory that it
    keeps for that. ``stage`` only begins to copy: the execution waits for it on the device.
    """

    @property
    def memory_reader(self) -> Callable[[], EngineMemory]:
        """Asks JAX what it holds of the device's memory."""
        return partial(memory_of, self._device)

    def stage(self, images: ImageArray) -> StagedImages[Any]:
        """Copy ``(N, H, W, C)`` uint8 to the device; another thread may be in ``execute``.

        Raises:
            OutOfDeviceMemoryError: The device has no room for them.
        """
        return StagedImages(self._copy(images), len(images))

    def execute_staged(self, staged: StagedImages[Any]) -> ScoreArray:
        """Classify what ``stage`` has copied → ``(N, K)`` float32, rows sum to 1.

        Raises:
            OutOfDeviceMemoryError: The device has no room for this many images.
        """
        return self._scores(staged.batch)[: staged.count]


def scores_function(
    network: keras.Model, temperature: float, scale: float, offset: float
) -> Callable[[Any, Any], Any]:
    """Return a network as a function of its weights and of images, for JAX to trace.

    Args:
        network: A Keras network.
        temperature: As ``JaxServable`` has it; scale and offset likewise.
        scale: Factor on the pixels.
        offset: Added to them.

    Returns:
        Weights, trainable and others, and ``(N, H, W, C)`` uint8 to ``(N, K)`` float32, rows sum
        to 1.
    """

    def scores_of(weights: Any, images: Any) -> Any:
        if (scale, offset) != (1.0, 0.0):
            images = images.astype(jnp.float32) * scale + offset
        scores, _ = network.stateless_call(*weights, images, training=False)
        scores = scores.astype(jnp.float32)
        if temperature != 1.0:
            scores = jax.nn.softmax(jnp.log(scores) / temperature)
        return scores  # (N, K) float32, rows sum to 1

    return scores_of


def _compile(size: int, lowered: Any) -> Callable[..., Any]:
    with _memory_errors(f"a batch of {size}"):  # XLA tries convolutions out on the device
        executable: Callable[..., Any] = lowered.compile()
        return executable


@contextmanager
def _memory_errors(what: str) -> Iterator[None]:
    """Give XLA's error for memory that is not there its own class; ``what`` it was needed for."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        # XLA has one class for all errors, and begins each with its status.
        if not str(error).startswith("RESOURCE_EXHAUSTED"):
            raise
        raise OutOfDeviceMemoryError(f"The device has no memory for {what}.") from error
