"""``python -m benchmarks.weights``: weights as variables against weights as constants.

Times the published CIFAR-10 network alone, in this process, both ways in turn. It is the evidence
for decision 1 in ``DECISIONS.md``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from app.runtime.keras_file import load_model
from app.runtime.tensorflow_engine import TensorFlowServable
from app.types import ImageArray, InputSpec

SPEC = InputSpec(height=32, width=32, channels=3)
SIZES = (1, 8, 32, 64)
ROUNDS = 15


def timed(execute: Callable[[ImageArray], Any], images: ImageArray) -> float:
    """Return the seconds of one execution."""
    start = time.perf_counter()
    execute(images)
    return time.perf_counter() - start


def main() -> None:
    """Print a table: ms per execution for each batch size, and the ratio."""
    files = Path("models/cifar10").glob("[0-9]*/model.keras")
    model = load_model(max(files, key=lambda path: int(path.parent.name)))
    signature = [tf.TensorSpec((None, *SPEC.shape), tf.uint8)]
    variables = tf.function(lambda x: model(x, training=False), input_signature=signature)
    ways: dict[str, Callable[[ImageArray], Any]] = {
        "variables": lambda images: variables(tf.constant(images)).numpy(),
        "constants": TensorFlowServable(model, SPEC, SIZES).execute,
    }
    print("images  variables ms  constants ms  constants / variables (median of pairs)")
    for size in SIZES:
        shape = (size, *SPEC.shape)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        for execute in ways.values():
            for _ in range(3):
                execute(images)
        pairs = [[timed(execute, images) for execute in ways.values()] for _ in range(ROUNDS)]
        before, after = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
        ratio = statistics.median(constants / variables_ for variables_, constants in pairs)
        print(f"{size:6}  {before:12.2f}  {after:12.2f}  {ratio:.2f}")


if __name__ == "__main__":
    main()
