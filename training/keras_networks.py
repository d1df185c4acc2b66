"""A Keras network as a function on arrays, and the facts that are read off its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from app.artifacts.keras_file import check_keras_file
from app.errors import ArtifactError
from app.types import ImageArray, ScoreArray


def executable(network: keras.Model) -> Callable[[ImageArray], ScoreArray]:
    """Compile a network for evaluation; ``predict`` leaks when it is called again and again.

    Weights are read at each call: what is assigned to them later counts.

    Returns:
        ``(N, H, W, C)`` uint8 to ``(N, K)`` float32, for any N.
    """
    signature = tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)
    run = tf.function(lambda images: network(images, training=False)).get_concrete_function(
        signature
    )

    def execute(images: ImageArray) -> ScoreArray:
        scores: ScoreArray = run(tf.constant(images)).numpy()
        return scores

    return execute


def load_published(path: Path) -> keras.Model:
    """Read the ``.keras`` file of a version, in safe mode: nothing in it is executed.

    Raises:
        ArtifactError: It cannot be read, or holds code such as a Lambda layer.
    """
    check_keras_file(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ArtifactError(f"{path} cannot be loaded: {error}") from error


def non_finite_weights(network: keras.Model) -> int:
    """Count the weights that are NaN or infinite."""
    return sum(int(np.size(w) - np.isfinite(w).sum()) for w in network.get_weights())


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Compute in full float32 on GPUs, which would cut factors to TF32, 10 bits of mantissa.

    What is recorded in here can be compared closely with what a CPU computes.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
