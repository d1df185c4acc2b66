"""``python -m benchmarks.gpu.memory``: what a batch ends in that a GPU has no memory for.

JAX is given a small part of the GPU, and a network a batch that needs more: it has to end in
``OutOfDeviceMemoryError``, soon, and the batcher has to go on with half of it until it fits.
Prints JSON, and fails if an image was lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

# Before JAX is imported. Trying kernels out would need the memory, too, and a minute.
os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = os.environ.get("MEM_FRACTION", "0.02")
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0"

import jax
import keras
import numpy as np

from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.errors import OutOfDeviceMemoryError
from app.runtime.jax_devices import find_devices
from app.runtime.jax_engine import StagedJaxServable
from app.types import ImageArray, InputSpec, Servable

SIDE = 512
CHANNELS = 256  # 256 MiB of float32 for an image and layer
SIZES = (1, 2, 4, 8, 16, 32, 64)
IMAGES = 64


def network() -> keras.Model:
    """Return a network whose layers take ``CHANNELS`` numbers for each pixel."""
    image = keras.Input((SIDE, SIDE, 3))
    inner = keras.layers.Conv2D(CHANNELS, 3, padding="same")(image)
    inner = keras.layers.Conv2D(CHANNELS, 3, padding="same", activation="relu")(inner)
    pooled = keras.layers.GlobalAveragePooling2D()(inner)
    return keras.Model(image, keras.layers.Dense(4, activation="softmax")(pooled))


class Executions:
    """Told by the batcher of each batch that was executed; keeps their sizes."""

    def __init__(self) -> None:
        """Have been told of none."""
        self.sizes: list[int] = []

    def batch_executed(self, *, size: int, padded: int, duration_s: float) -> None:
        """Keep the size."""
        self.sizes.append(size)

    def task_dequeued(self, queue_delay_s: float) -> None:
        """Of no interest here."""

    def queue_size_changed(self, queue_size: int) -> None:
        """Of no interest here."""


async def batched(servable: Servable, images: ImageArray) -> dict[str, object]:
    """Return how many of ``(N, H, W, 3)`` images a batcher got scores for, and in what batches."""
    told = Executions()
    policy = BatchPolicy(allowed_batch_sizes=SIZES, max_queue_size=len(images))
    batcher = DynamicBatcher(servable, policy, observer=told)
    batcher.start()
    tasks = batcher.schedule_many(list(images))
    found = await asyncio.gather(*(task.result() for task in tasks), return_exceptions=True)
    await batcher.close()
    return {
        "answered": sum(not isinstance(each, BaseException) for each in found),
        "batches": told.sizes,
        "largest_batch_then": batcher.policy.max_batch_size,
    }


def main() -> int:
    """Run out of memory, once directly and once through the batcher."""
    device = find_devices(())[0]
    servable = StagedJaxServable(network(), InputSpec(SIDE, SIDE, 3), SIZES, device=device)
    images = np.zeros((IMAGES, SIDE, SIDE, 3), np.uint8)
    found: dict[str, object] = {"device": device.title, "jax": jax.__version__}
    found["memory_bytes"] = (device.handle.memory_stats() or {}).get("bytes_limit")
    begin_s = time.monotonic()
    try:
        servable.execute(images)
    except OutOfDeviceMemoryError as error:
        found["error"] = str(error)
    found["seconds"] = round(time.monotonic() - begin_s, 1)
    begin_s = time.monotonic()
    found["alone"] = servable.execute(images[:1]).shape
    found |= asyncio.run(batched(servable, images))
    found["batched_seconds"] = round(time.monotonic() - begin_s, 1)
    print(json.dumps(found, default=str))
    return 0 if "error" in found and found["answered"] == IMAGES else 1


if __name__ == "__main__":
    sys.exit(main())
