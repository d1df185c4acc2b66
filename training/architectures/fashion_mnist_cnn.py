"""The Fashion-MNIST network of the reference article: two convolutions and one dense layer."""

from __future__ import annotations

import keras
from keras import layers


def build(
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    *,
    conv_dropout: float = 0.3,
    dense_dropout: float = 0.5,
) -> keras.Model:
    """Build the network; 412,778 parameters at the default sizes.

    Args:
        input_shape: ``(H, W, C)``; H and W at least 4, because two poolings halve them.
        classes: K, the width of the softmax.
        conv_dropout: Share of activations dropped after each pooling, 0..1.
        dense_dropout: Share of units dropped after the dense layer, 0..1.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")  # (N, H, W, C) uint8, 0..255
    x = layers.Rescaling(1.0 / 255, name="rescaling")(image)  # 0..1
    for block, filters in enumerate([64, 32], start=1):
        x = layers.Conv2D(filters, 2, padding="same", activation="relu", name=f"conv_{block}")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{block}")(x)
        x = layers.Dropout(conv_dropout, name=f"conv_dropout_{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(256, activation="relu", name="dense")(x)
    x = layers.Dropout(dense_dropout, name="dense_dropout")(x)
    # float32 whatever the policy: a softmax in bfloat16 does not sum to 1.
    scores = layers.Dense(classes, activation="softmax", dtype="float32", name="scores")(x)
    return keras.Model(image, scores, name="fashion_mnist_cnn")
