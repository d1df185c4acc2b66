"""Networks for the tests of the jax engine; imported only where Keras computes with JAX."""

from __future__ import annotations

from typing import Any

import keras


def network_too_large_for_company(width: int) -> keras.Model:
    """Return a network that answers one image with it twice, and in batches ``width`` times."""
    image = keras.Input((1, 1, 1))
    return keras.Model(image, _Wide(width)(keras.layers.Flatten()(image)))


def network_without_an_implementation() -> keras.Model:
    """Return a network of an operation that the backend has not got."""
    image = keras.Input((2, 2, 1))
    return keras.Model(image, _Missing()(image))


class _Missing(keras.layers.Layer):  # type: ignore[misc, name-defined, unused-ignore]
    def call(self, x: Any) -> Any:
        raise NotImplementedError("not in this backend")

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], 2)


class _Wide(keras.layers.Layer):  # type: ignore[misc, name-defined, unused-ignore]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def call(self, x: Any) -> Any:
        count = x.shape[0]
        return keras.ops.broadcast_to(x, (count, 2 if count == 1 else self.width))

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], 2)
