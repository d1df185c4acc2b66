"""Small networks, and those that the repository carries, for the tests of either backend."""

from __future__ import annotations

from pathlib import Path

import keras

from app.types import InputSpec
from tests.keras.server_process import ROOT

SPEC = InputSpec(height=8, width=6, channels=3)


def shipped(name: str) -> Path:
    """Return the newest version of a model that the repository carries."""
    folders = (ROOT / "models" / name).glob("[1-9]*")
    return max(folders, key=lambda folder: int(folder.name))


def small_network() -> keras.Model:
    """Return a network with weights of every kind, always the same ones."""
    keras.utils.set_random_seed(3)
    image = keras.Input(SPEC.shape, dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    return keras.Model(image, keras.layers.Dense(5, activation="softmax")(x))
