"""Networks as somebody else may have saved them, and the words that import them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from app.types import ImageArray, ScoreArray
from training.cli import main

SIDE = (12, 10)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PREPROCESSING = ["--scale", "0.00392156862745098", "--mean", "0.4,0.5,0.6", "--std", "0.2,0.25,0.3"]
LABELS = ("circle", "square", "stripes")
KINDS = ("keras", "h5", "saved_model")


def make_network(*, activation: str | None = "softmax", shape: Any = (*SIDE, 3)) -> keras.Model:
    keras.utils.set_random_seed(5)
    image = keras.Input(shape)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(image)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.5)(x)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation=activation)(x), name="theirs")


def save(network: keras.Model, folder: Path, kind: str) -> Path:
    """Write a network as one of the three kinds."""
    path = folder / {"keras": "theirs.keras", "h5": "theirs.h5", "saved_model": "theirs"}[kind]
    if kind == "saved_model":
        network.export(path, verbose=False)
    else:
        network.save(path)
    return path


def as_of_keras_2(path: Path) -> Path:
    """Put into an ``.h5`` file what Keras 2 wrote and Keras 3 does not read."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "DepthwiseConv2D":
                layer["config"]["groups"] = 1
            if layer["class_name"] == "BatchNormalization":
                layer["config"]["axis"] = [3]
        file.attrs["model_config"] = json.dumps(config)
    return path


def write_labels(folder: Path) -> None:
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")


def command(place: Path, source: Path, *more: str, name: str = "theirs") -> list[str]:
    return [
        "import", str(source), "--name", name, "--classes", str(place / "labels.txt"),
        "--models-dir", str(place / "models"), *more,
    ]  # fmt: skip


def refusal(words: list[str], capsys: pytest.CaptureFixture[str], *, code: int = 2) -> str:
    """Run an import that must fail and return its last line; nothing may be published."""
    capsys.readouterr()
    assert main(words) == code
    assert not list((Path(words[words.index("--models-dir") + 1])).glob("*/[0-9]*"))
    return capsys.readouterr().err.splitlines()[-1]


def expected_scores(network: keras.Model, images: ImageArray) -> ScoreArray:
    """What the network says of pixels that were prepared without any of our code."""
    prepared = (images / 255 - np.array(MEAN)) / np.array(STD)
    scores: ScoreArray = network(prepared.astype(np.float32), training=False).numpy()
    return scores
