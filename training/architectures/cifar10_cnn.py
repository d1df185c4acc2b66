"""The CIFAR-10 network of the reference article: four convolutional and four dense blocks."""

from __future__ import annotations

import keras
from keras import layers


def build(
    input_shape: tuple[int, int, int] = (32, 32, 3), classes: int = 10, *, dropout: float = 0.2
) -> keras.Model:
    """Build the network; 5,146,390 parameters (5,140,624 trainable) at the default sizes.

    Args:
        input_shape: ``(H, W, C)``; H and W at least 16, because four poolings halve them.
        classes: K, the width of the softmax.
        dropout: Share of units dropped in each dense block, 0..1.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")  # (N, H, W, C) uint8, 0..255
    x = layers.Rescaling(1.0 / 255, name="rescaling")(image)  # 0..1
    x = layers.BatchNormalization(name="input_norm")(x)

    # ---- convolution: each block halves H and W -------------------------------------------
    for block, (filters, kernel) in enumerate([(64, 3), (128, 3), (256, 5), (512, 5)], start=1):
        x = layers.Conv2D(filters, kernel, padding="same", activation="relu", name=f"conv_{block}")(
            x
        )
        x = layers.MaxPooling2D(2, name=f"pool_{block}")(x)
        x = layers.BatchNormalization(name=f"conv_norm_{block}")(x)
    x = layers.Flatten(name="flatten")(x)

    # ---- dense ----------------------------------------------------------------------------
    for block, units in enumerate([128, 256, 512, 1024], start=1):
        x = layers.Dense(units, activation="relu", name=f"dense_{block}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{block}")(x)
        x = layers.BatchNormalization(name=f"dense_norm_{block}")(x)
    # float32 whatever the policy: a softmax in bfloat16 does not sum to 1.
    scores = layers.Dense(classes, activation="softmax", dtype="float32", name="scores")(x)
    return keras.Model(image, scores, name="cifar10_cnn")
