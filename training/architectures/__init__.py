"""Networks by name: one module each, ``build(input_shape, classes, **sizes) -> keras.Model``.

Every network takes ``(N, H, W, C)`` uint8, 0..255, does its own rescaling, and gives
``(N, K)`` float32 probabilities.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import keras

from training.architectures import cifar10_cnn, fashion_mnist_cnn
from training.config import ArchitectureConfig, ConfigError

ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {
    "cifar10_cnn": cifar10_cnn.build,
    "fashion_mnist_cnn": fashion_mnist_cnn.build,
}

__all__ = ["ARCHITECTURES", "build_network", "check_architecture"]


def check_architecture(config: ArchitectureConfig) -> None:
    """Look name and options up, before a data set is read for them.

    Raises:
        ConfigError: No such network, or an option that it does not have.
    """
    build = ARCHITECTURES.get(config.name)
    if build is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ConfigError(f"architecture.name: {config.name!r} is none of {known}")
    known_options = {
        name
        for name, parameter in inspect.signature(build).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    if unknown := sorted(config.options.keys() - known_options):
        raise ConfigError(
            f"architecture.options: {config.name} has no {unknown[0]!r}, it has "
            + ", ".join(sorted(known_options))
        )


def build_network(
    config: ArchitectureConfig,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    precision: str = "float32",
) -> keras.Model:
    """Build a network with random weights.

    Args:
        config: Which one, and its sizes.
        input_shape: ``(H, W, C)``.
        classes: K.
        precision: Keras dtype policy of its layers; weights are float32 in every one of them.

    Raises:
        ConfigError: As ``check_architecture`` says, or the input is too small for the network.
    """
    check_architecture(config)
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        return ARCHITECTURES[config.name](input_shape, classes, **config.options)
    except ValueError as error:
        raise ConfigError(f"{config.name} cannot be built for {input_shape}: {error}") from error
    finally:
        keras.mixed_precision.set_dtype_policy(before)
