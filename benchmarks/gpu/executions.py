"""A network alone on the device: execution, copy, and both beside each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import jax
import numpy as np

from app.artifacts.manifest import Manifest
from app.runtime.jax_devices import find_devices, in_host_memory
from app.runtime.jax_engine import FLOAT32_MATMUL_PRECISION, StagedJaxServable
from app.runtime.keras_file import load_model
from app.runtime.mixed_precision import in_precision
from app.runtime.policy import NumberFormat
from app.types import ImageArray

SLICE_S = 0.05
"""Of one figure in one round: dozens of executions of small batches, at least two of large ones."""
MOST_REPEATS = 40


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a network computes in.

    Attributes:
        title: In tables.
        precision: Of its layers.
        matmul_precision: Of products, where the layers are float32.
    """

    title: str
    precision: NumberFormat
    matmul_precision: str = FLOAT32_MATMUL_PRECISION


NUMBERS = (
    Numbers("float16", "float16"),
    Numbers("bfloat16", "bfloat16"),
    Numbers("float32", "float32"),
    Numbers("float32 (TF32)", "float32", "default"),
)


@dataclass(slots=True)
class Times:
    """Seconds for one batch, one entry for each round.

    Attributes:
        serial: Copy, execution and answer, one after another: ``execute``.
        execution: Of images that lie on the device; the answer's way back included.
        copy: Of the images alone.
        staged: Where the next batch is copied by another thread meanwhile, as the batcher does.
    """

    serial: list[float] = field(default_factory=list)
    execution: list[float] = field(default_factory=list)
    copy: list[float] = field(default_factory=list)
    staged: list[float] = field(default_factory=list)

    @property
    def gain(self) -> float:
        """How many times as fast staging is, median of the rounds."""
        return median(a / b for a, b in zip(self.serial, self.staged, strict=True))

    @property
    def copy_share(self) -> float:
        """Share of copying in a batch without staging, 0..1, median of the rounds."""
        return median(a / b for a, b in zip(self.copy, self.serial, strict=True))


def build(
    folder: Path, manifest: Manifest, numbers: Numbers, batch_sizes: tuple[int, ...]
) -> StagedJaxServable:
    """Load a version as the engine does, compile it, and execute each batch size once."""
    with in_host_memory():
        network = in_precision(load_model(folder / manifest.network_file), numbers.precision)
    servable = StagedJaxServable(
        network,
        manifest.input.spec,
        batch_sizes,
        temperature=manifest.calibration.temperature,
        scale=manifest.input.scale,
        offset=manifest.input.offset,
        device=find_devices(())[0],
        precision=numbers.precision,
        matmul_precision=numbers.matmul_precision,
    )
    servable.warm_up()
    return servable


def measure_round(servable: StagedJaxServable, images: ImageArray, times: Times) -> None:
    """Add one round of ``(N, H, W, C)`` uint8 images to ``times``."""
    times.serial.append(repeated_s(lambda: servable.execute(images)))
    times.copy.append(repeated_s(lambda: jax.block_until_ready(servable.stage(images).batch)))
    staged = servable.stage(images)  # the engine gives nothing of it away: it can be used again
    jax.block_until_ready(staged.batch)
    times.execution.append(repeated_s(lambda: servable.execute_staged(staged)))
    times.staged.append(pipelined_s(servable, images, times.serial[-1]))


def repeated_s(call: Callable[[], object]) -> float:
    """Return the median time of a call, for about ``SLICE_S``, at least two of them."""
    taken: list[float] = []
    begin_s = time.perf_counter()
    while len(taken) < 2 or (len(taken) < MOST_REPEATS and time.perf_counter() - begin_s < SLICE_S):
        started_s = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started_s)
    return median(taken)


def pipelined_s(servable: StagedJaxServable, images: ImageArray, serial_s: float) -> float:
    """Return the time of a batch while another thread copies the next one."""
    count = max(3, min(MOST_REPEATS, round(SLICE_S / serial_s)))
    with ThreadPoolExecutor(1, "staging") as pool:
        following = pool.submit(servable.stage, images)
        following.result()
        started_s = time.perf_counter()
        for turn in range(count):
            staged = following.result()
            if turn + 1 < count:
                following = pool.submit(servable.stage, images)
            servable.execute_staged(staged)
        return (time.perf_counter() - started_s) / count


def random_images(manifest: Manifest, count: int) -> ImageArray:
    """Return ``(N, H, W, C)`` uint8, 0..255, the same ones each time."""
    shape = (count, *manifest.input.spec.shape)
    return np.random.default_rng(count).integers(0, 256, shape, np.uint8)
