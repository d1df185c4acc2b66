"""A compact residual network for images of any size.

K. He et al.: Deep Residual Learning for Image Recognition. CVPR 2016.
"""

from __future__ import annotations

import keras
from keras import layers

STAGES = 4
"""Each doubles the filters; each but the first halves H and W, rounding up: 8 px end as 1."""

BATCH_NORM_MOMENTUM = 0.8
"""Of the running statistics, which validation uses. Small sets have three or four steps an epoch:
at Keras' 0.99 the statistics still are nearly those that they began with after ten epochs, and
validation, early stopping with it, would judge by noise. At 0.8 they follow within three epochs,
and still average some nine batches."""


def build(
    input_shape: tuple[int, int, int] = (64, 64, 3),
    classes: int = 10,
    *,
    width: int = 16,
    blocks: int = 2,
    dropout: float = 0.2,
) -> keras.Model:
    """Build the network; 703,866 parameters (701,466 trainable) at the default sizes.

    The last normalisation of each block starts at 0: at first every block passes on what it gets,
    so that a deep network learns from a few dozen images without a warm-up.

    Args:
        input_shape: ``(H, W, C)``; H and W at least 8.
        classes: K, the width of the softmax.
        width: Filters of the first stage; the last one has eight times as many.
        blocks: Residual blocks in each of the four stages.
        dropout: Share of features dropped before the softmax, 0..1.
    """
    if width < 1 or blocks < 1:
        raise ValueError(f"width is {width} and blocks is {blocks}, both must be at least 1")
    image = keras.Input(input_shape, dtype="uint8", name="image")  # (N, H, W, C) uint8, 0..255
    x = layers.Rescaling(1.0 / 127.5, offset=-1.0, name="rescaling")(image)  # -1..1
    x = _stem(x, width, min(input_shape[:2]))
    for stage in range(STAGES):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _block(x, width * 2**stage, stride, f"stage_{stage + 1}_block_{block + 1}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (N, 8 · width)
    x = layers.Dropout(dropout, name="dropout")(x)
    # float32 whatever the policy: a softmax in bfloat16 does not sum to 1.
    scores = layers.Dense(classes, activation="softmax", dtype="float32", name="scores")(x)
    return keras.Model(image, scores, name="resnet_small")


def _stem(x: keras.KerasTensor, width: int, side: int) -> keras.KerasTensor:
    """Find edges; from 64 px on at half the size, from 128 px on at a quarter.

    Four times the pixels would cost four times the work, and see four times less of the picture.
    """
    stride = 2 if side >= 64 else 1
    x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False, name="stem_conv")(x)
    x = _normalise(x, "stem_norm")
    x = layers.ReLU(name="stem_relu")(x)
    return layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x) if side >= 128 else x


def _block(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """Two convolutions, added to what came in: ``(N, H, W, C)`` to ``(N, H/s, W/s, filters)``."""
    shortcut = x
    x = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False, name=f"{name}_conv_1")(x)
    x = _normalise(x, f"{name}_norm_1")
    x = layers.ReLU(name=f"{name}_relu_1")(x)
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv_2")(x)
    x = _normalise(x, f"{name}_norm_2", gamma="zeros")
    if stride != 1 or shortcut.shape[-1] != filters:
        shortcut = layers.Conv2D(
            filters, 1, stride, padding="same", use_bias=False, name=f"{name}_shortcut"
        )(shortcut)
        shortcut = _normalise(shortcut, f"{name}_shortcut_norm")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu_2")(x)


def _normalise(x: keras.KerasTensor, name: str, gamma: str = "ones") -> keras.KerasTensor:
    return layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, gamma_initializer=gamma, name=name
    )(x)
