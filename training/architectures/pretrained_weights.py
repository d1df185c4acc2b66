"""Where pretrained weights come from, and what is said when they cannot be had."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import keras

from training.config_file import ConfigError

IMAGENET = "imagenet"
"""Those that ``keras.applications`` downloads, once, and keeps."""

NO_WEIGHTS = "none"
"""Random ones."""

OPTION = "weights"

_SUFFIX = ".h5"
_WAY_OUT = "--set architecture.options.weights=PATH takes a file, weights=none trains from scratch"


def with_weights(make: Callable[..., keras.Model], weights: str, file_name: str) -> keras.Model:
    """Make a backbone with the weights that the option asks for.

    Args:
        make: Of ``keras.applications``, without the network's end; takes ``weights``.
        weights: ``imagenet``, ``none``, or the path of a file of weights: ``*_notop.h5`` as Keras
            offers it for download, or the ``.weights.h5`` of a backbone of one's own.
        file_name: What Keras fetches for ``imagenet``.

    Raises:
        ConfigError: They cannot be fetched or read, or are another network's.
    """
    if weights == IMAGENET:
        return _fetch(make, file_name)
    network = make(weights=None)
    if weights != NO_WEIGHTS:
        _load(network, _existing(weights, file_name), file_name)
    return network


def _fetch(make: Callable[..., keras.Model], file_name: str) -> keras.Model:
    try:
        with warnings.catch_warnings():
            # MobileNetV3 warns at other sizes than 224 px, that it takes the weights of 224. They
            # are the same ones: without its end a backbone has none that depends on the size.
            warnings.simplefilter("ignore", UserWarning)
            return make(weights=IMAGENET)
    except Exception as error:  # get_file raises a plain Exception for what the network does
        raise ConfigError(
            f"architecture.options.weights: {file_name} is not in {_cache()} and cannot be "
            f"downloaded ({_first_line(error)}); put it there, or {_WAY_OUT}"
        ) from error


def _load(network: keras.Model, path: Path, file_name: str) -> None:
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that the file has nothing for, and leaves them random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
    except (ValueError, OSError, KeyError, TypeError, UserWarning) as error:
        raise ConfigError(
            f"architecture.options.weights: {path} does not hold the weights of this backbone "
            f"without its end ({file_name}): {_first_line(error)}"
        ) from error


def _cache() -> str:
    """Where Keras keeps what it downloaded, as a user writes it."""
    home = os.environ.get("KERAS_HOME")
    return f"{home}/models" if home else "~/.keras/models"


def _existing(weights: str, file_name: str) -> Path:
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"architecture.options.weights: no file {weights!r}; must be {IMAGENET}, {NO_WEIGHTS}, "
            f"or the path of a file such as {file_name}"
        )
    if path.suffix != _SUFFIX:
        raise ConfigError(
            f"architecture.options.weights: {path.name} is no {_SUFFIX} file; "
            f"expected one such as {file_name}"
        )
    return path


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
