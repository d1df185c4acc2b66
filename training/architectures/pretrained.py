"""Transfer learning: a backbone of ``keras.applications`` that knows ImageNet, and a new end.

The backbone is one nested layer, so that it can be frozen as a whole. Its normalisations stay
frozen when the rest is fine-tuned: they keep the statistics of a million images instead of taking
up those of a few dozen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import applications, layers

from training.architectures.pretrained_weights import (
    IMAGENET,
    NO_WEIGHTS,
    with_weights,
)

BACKBONE = "backbone"
"""Name of the layer that holds the pretrained part of a network."""

FROM_SCRATCH = "_from_scratch"
"""Ends the name of a network whose backbone began with random weights: its normalisations have no
statistics to keep. A name outlives checkpoints, as layers do, without code of our own."""

MIN_SIDE = 32
"""Of every backbone here, px: they halve H and W five times."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """One network of ``keras.applications``.

    Attributes:
        make: ``include_top=False`` and the like are set by ``build``.
        weights_file: What Keras downloads for ``weights = "imagenet"`` without the end.
        scale: Factor on 0..255 that its weights were trained with.
        offset: Added after it.
    """

    make: Callable[..., keras.Model]
    weights_file: str
    scale: float = 1.0
    offset: float = 0.0


EFFICIENTNET_V2_B0 = Backbone(
    # Scales by itself, with a mean and variance for each channel.
    functools.partial(applications.EfficientNetV2B0, include_preprocessing=True),
    "efficientnetv2-b0_notop.h5",
)
MOBILENET_V3 = {
    "small": Backbone(
        functools.partial(applications.MobileNetV3Small, include_preprocessing=False),
        "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        scale=1 / 127.5,
        offset=-1.0,
    ),
    "large": Backbone(
        functools.partial(applications.MobileNetV3Large, include_preprocessing=False),
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        scale=1 / 127.5,
        offset=-1.0,
    ),
}
RESNET50_V2 = Backbone(
    applications.ResNet50V2,
    "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    scale=1 / 127.5,
    offset=-1.0,
)


def build_efficientnetv2b0(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 10,
    *,
    weights: str = IMAGENET,
    dropout: float = 0.2,
) -> keras.Model:
    """Build EfficientNetV2B0 with a new end: 5.9 million parameters.

    Args:
        input_shape: ``(H, W, C)``; H and W at least 32.
        classes: K, the width of the softmax.
        weights: ``imagenet``, ``none`` (random ones), or the path of a file.
        dropout: Share of features dropped before the softmax, 0..1.
    """
    return _build("efficientnetv2b0", EFFICIENTNET_V2_B0, input_shape, classes, weights, dropout)


def build_mobilenetv3(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 10,
    *,
    size: str = "small",
    weights: str = IMAGENET,
    dropout: float = 0.2,
) -> keras.Model:
    """Build MobileNetV3 with a new end: 0.9 million parameters, 3.0 million if large.

    Args:
        input_shape: ``(H, W, C)``; H and W at least 32.
        classes: K, the width of the softmax.
        size: ``small`` or ``large``.
        weights: ``imagenet``, ``none`` (random ones), or the path of a file.
        dropout: Share of features dropped before the softmax, 0..1.
    """
    if size not in MOBILENET_V3:
        raise ValueError(f"size is {size!r}, must be small or large")
    return _build("mobilenetv3", MOBILENET_V3[size], input_shape, classes, weights, dropout)


def build_resnet50v2(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 10,
    *,
    weights: str = IMAGENET,
    dropout: float = 0.2,
) -> keras.Model:
    """Build ResNet50V2 with a new end: 23.6 million parameters.

    Args:
        input_shape: ``(H, W, C)``; H and W at least 32.
        classes: K, the width of the softmax.
        weights: ``imagenet``, ``none`` (random ones), or the path of a file.
        dropout: Share of features dropped before the softmax, 0..1.
    """
    return _build("resnet50v2", RESNET50_V2, input_shape, classes, weights, dropout)


def _build(
    name: str,
    backbone: Backbone,
    input_shape: tuple[int, int, int],
    classes: int,
    weights: str,
    dropout: float,
) -> keras.Model:
    image = keras.Input(input_shape, dtype="uint8", name="image")  # (N, H, W, C) uint8, 0..255
    x = image
    if input_shape[2] == 1:
        x = layers.Concatenate(name="grey_to_rgb")([x, x, x])  # (N, H, W, 3)
    x = layers.Rescaling(backbone.scale, backbone.offset, name="rescaling")(x)
    network = pretrained_backbone(backbone, input_shape[:2], weights)
    x = network(x)  # (N, H/32, W/32, features)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    # float32 whatever the policy: a softmax in bfloat16 does not sum to 1.
    scores = layers.Dense(classes, activation="softmax", dtype="float32", name="scores")(x)
    suffix = FROM_SCRATCH if weights == NO_WEIGHTS else ""
    return keras.Model(image, scores, name=name + suffix)


def set_backbone_trainable(network: keras.Model, *, trainable: bool) -> None:
    """Freeze the pretrained part of a network, or let it loose; without one nothing happens.

    Normalisations with pretrained statistics stay frozen. Calling the backbone with
    ``training=False``, the recipe of Keras 2, does not do that: within a fit, Keras 3 passes
    ``training=True`` to all layers, whatever they were called with. A normalisation that is not
    trainable keeps to its statistics in a fit as well.
    """
    for layer in network.layers:
        if layer.name != BACKBONE:
            continue
        layer.trainable = trainable
        if trainable and not network.name.endswith(FROM_SCRATCH):
            for inner in layer.layers:
                if isinstance(inner, layers.BatchNormalization):
                    inner.trainable = False


def pretrained_backbone(backbone: Backbone, size: tuple[int, int], weights: str) -> keras.Model:
    """Make the part that knows ImageNet: ``(N, H, W, 3)`` to ``(N, H/32, W/32, features)``.

    Raises:
        ConfigError: The weights cannot be had, or are another network's.
    """
    make = functools.partial(backbone.make, include_top=False, input_shape=(*size, 3))
    network = with_weights(make, weights, backbone.weights_file)
    # Keras finds blocks and file of EfficientNetV2 by the network's name, which thus is not free.
    return keras.Model(network.input, network.output, name=BACKBONE)
