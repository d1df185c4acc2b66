"""Networks by name: one module each, ``build(input_shape, classes, **sizes) -> keras.Model``.

Every network takes ``(N, H, W, C)`` uint8, 0..255, does its own rescaling, and gives
``(N, K)`` float32 probabilities.

``cifar10_cnn``, ``fashion_mnist_cnn``
    The networks of the articles.
``resnet_small``
    A compact residual network for images of any size.
``pretrained``
    Backbones of ``keras.applications`` with a new end.
``pretrained_weights``
    Where the weights of those come from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras

from training.architectures import cifar10_cnn, fashion_mnist_cnn, pretrained, resnet_small
from training.architectures.pretrained import BACKBONE, set_backbone_trainable
from training.architectures.pretrained_weights import NO_WEIGHTS, OPTION
from training.config import ArchitectureConfig
from training.config_file import ConfigError


@dataclass(frozen=True, slots=True)
class Architecture:
    """One network that a configuration can name.

    Attributes:
        build: ``(input_shape, classes, **options)``.
        min_side: Least H and W, px.
        pretrained: Whether it begins with weights from elsewhere, its option ``weights``.
    """

    build: Callable[..., keras.Model]
    min_side: int
    pretrained: bool = False


ARCHITECTURES: dict[str, Architecture] = {
    "cifar10_cnn": Architecture(cifar10_cnn.build, min_side=16),
    "fashion_mnist_cnn": Architecture(fashion_mnist_cnn.build, min_side=4),
    "resnet_small": Architecture(resnet_small.build, min_side=8),
    "efficientnetv2b0": Architecture(
        pretrained.build_efficientnetv2b0, pretrained.MIN_SIDE, pretrained=True
    ),
    "mobilenetv3": Architecture(pretrained.build_mobilenetv3, pretrained.MIN_SIDE, pretrained=True),
    "resnet50v2": Architecture(pretrained.build_resnet50v2, pretrained.MIN_SIDE, pretrained=True),
}

__all__ = [
    "ARCHITECTURES",
    "BACKBONE",
    "build_network",
    "check_architecture",
    "set_backbone_trainable",
]


def check_architecture(
    config: ArchitectureConfig, input_shape: tuple[int, int, int] | None = None
) -> None:
    """Find what is wrong with name and options, before a data set is read for them.

    The network is built once at its smallest size; a pretrained one fetches its weights for it.

    Args:
        config: Which network, and its sizes.
        input_shape: ``(H, W, C)``, where the configuration says it.

    Raises:
        ConfigError: No such network, or an option that it does not have; the images are too small
            for it, or its weights cannot be had.
    """
    architecture = _look_up(config)
    if input_shape is not None:
        _check_size(config.name, architecture, input_shape)
    side = architecture.min_side
    _build(config.name, architecture, (side, side, 3), 2, config.options)


def _look_up(config: ArchitectureConfig) -> Architecture:
    architecture = ARCHITECTURES.get(config.name)
    if architecture is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ConfigError(f"architecture.name: {config.name!r} is none of {known}")
    known_options = {
        name
        for name, parameter in inspect.signature(architecture.build).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    if unknown := sorted(config.options.keys() - known_options):
        raise ConfigError(
            f"architecture.options: {config.name} has no {unknown[0]!r}, it has "
            + ", ".join(sorted(known_options))
        )
    return architecture


def _check_size(name: str, architecture: Architecture, shape: tuple[int, int, int]) -> None:
    least = architecture.min_side
    if min(shape[:2]) < least:
        raise ConfigError(
            f"{name} cannot be built for {shape}: height and width must be at least {least} px "
            "(data.input.height, data.input.width)"
        )


def _build(
    name: str,
    architecture: Architecture,
    input_shape: tuple[int, int, int],
    classes: int,
    options: Mapping[str, bool | int | float | str],
) -> keras.Model:
    try:
        return architecture.build(input_shape, classes, **options)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{name} cannot be built for {input_shape}: {error}") from error


def build_network(
    config: ArchitectureConfig,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    precision: str = "float32",
    pretrained: bool = True,
) -> keras.Model:
    """Build a network, with random weights but for those of a pretrained part.

    Args:
        config: Which one, and its sizes.
        input_shape: ``(H, W, C)``.
        classes: K.
        precision: Keras dtype policy of its layers; weights are float32 in every one of them.
        pretrained: False leaves the pretrained part random too, where all weights are set anyway.

    Raises:
        ConfigError: As ``check_architecture`` says.
    """
    architecture = _look_up(config)
    _check_size(config.name, architecture, input_shape)
    options = dict(config.options)
    if architecture.pretrained and not pretrained:
        options[OPTION] = NO_WEIGHTS
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        network = _build(config.name, architecture, input_shape, classes, options)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    if not pretrained:  # what is going to be in it decides the name, not what it is built with
        network = keras.Model(network.input, network.output, name=config.name)
    return network
