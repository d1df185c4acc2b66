"""A classifier without Keras, images that it mostly understands, and what a report is made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from app.artifacts.manifest import Gate, GateCheck, Manifest
from app.types import ImageArray, InputSpec, ScoreArray
from tests.factories.versions import make_manifest
from training.data.dataset import Dataset, Split
from training.evaluation.study import Study, study_network
from training.fitting.run_directory import EpochRecord

SIDE = 12

NAMES = ("a", "b", "<b>&")

OLD_HISTORY: list[EpochRecord] = [
    {"epoch": e, "loss": 1 / e, "accuracy": 1 - 0.5 / e, "learning_rate": 1e-3, "duration_s": 61.5}
    for e in (1.0, 2.0)
]
HISTORY = [record | {"val_loss": 1.5, "val_accuracy": 0.25} for record in OLD_HISTORY]
"""``OLD_HISTORY`` is of a version that was published before runs had validation images."""


def stripe_classifier(
    classes: int, *, sharpness: float = 12.0
) -> Callable[[ImageArray], ScoreArray]:
    """Softmax over the brightness of one pixel per class; ``sharpness`` is how sure it is."""

    def execute(images: ImageArray) -> ScoreArray:
        columns = np.arange(classes) % images.shape[2]
        brightness = images[:, SIDE // 2, columns].mean(axis=2) / 255  # (N, K)
        powers = np.exp(sharpness * (brightness - brightness.max(axis=1, keepdims=True)))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    return execute


def striped_images(count: int, classes: int, *, channels: int, seed: int) -> Split:
    """Noise with one bright column, that of the class; every eighth label is another one."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.integers(0, 100, (count, SIDE, max(SIDE, classes), channels), dtype=np.uint8)
    images[np.arange(count), :, labels] = 120
    labels[::8] = (labels[::8] + 1) % classes
    return Split(images, labels.astype(np.int64))


def striped_dataset(names: tuple[str, ...], *, channels: int = 3, images: int = 240) -> Dataset:
    """A data set that ``stripe_classifier(len(names))`` gets right seven times in eight."""
    train, validation, test = (
        striped_images(images, len(names), channels=channels, seed=seed) for seed in range(3)
    )
    spec = InputSpec(SIDE, max(SIDE, len(names)), channels)
    return Dataset("stripes", names, spec, train, validation, test, "sha256:0")


def make_study(names: tuple[str, ...], *, pictures: bool = True, channels: int = 3) -> Study:
    """The whole study of such a classifier."""
    return study_network(
        stripe_classifier(len(names)), striped_dataset(names, channels=channels), pictures=pictures
    )


def make_gate(*, passed: bool = True) -> Gate:
    checks = (
        GateCheck(name="non_finite_weights", value=0, limit=0, passed=True),
        GateCheck(name="test_accuracy", value=0.9 if passed else 0.5, limit=0.8, passed=passed),
    )
    return Gate(passed=passed, forced=not passed, checks=checks)


def described(names: tuple[str, ...] = NAMES) -> Manifest:
    return make_manifest(classes=names, gate=make_gate())
