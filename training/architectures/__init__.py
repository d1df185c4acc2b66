"""Networks by name: one module each, ``build(input_shape, classes, **sizes) -> keras.Model``.

Every network takes ``(N, H, W, C)`` uint8, 0..255, does its own rescaling, and gives
``(N, K)`` float32 probabilities.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from training.architectures import cifar10_cnn, fashion_mnist_cnn

ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {
    "cifar10_cnn": cifar10_cnn.build,
    "fashion_mnist_cnn": fashion_mnist_cnn.build,
}

__all__ = ["ARCHITECTURES"]
