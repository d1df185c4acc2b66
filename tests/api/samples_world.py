"""Samples that tests can tell apart, and services that have them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from app.artifacts.labelled_samples import LabelledSamples, write_labelled_samples
from app.artifacts.samples import Samples
from tests.api.world import CLASSES, World, add_version, serving
from tests.factories.versions import make_manifest, make_samples

SAMPLES = "/v1/models/cifar10/samples"


def labelled(
    count: int = 7,
    *,
    seed: int = 0,
    size: int = 4,
    channels: int = 3,
    classes: tuple[str, ...] = CLASSES,
) -> LabelledSamples:
    """Other pixels for each seed; the classes take turns: cat, dog, frog, cat, …"""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return LabelledSamples(images, np.arange(count) % len(classes), classes)


def carried(count: int = 4, *, seed: int = 0) -> Samples:
    """The same, as a version carries them."""
    samples = labelled(count, seed=seed)
    probabilities = np.full((count, len(CLASSES)), 1 / len(CLASSES), np.float32)
    return Samples(samples.images, probabilities, samples.labels)


def unlabelled(classes: tuple[str, ...] = CLASSES) -> Samples:
    """What the versions of the repository carry: generated pictures."""
    return make_samples(make_manifest(classes=classes), labelled=False)


def put(folder: Path, samples: LabelledSamples, model: str = "cifar10") -> Path:
    """Put a file of samples where ``serving_samples`` looks for it."""
    (folder / "samples").mkdir(exist_ok=True)
    path = folder / "samples" / f"{model}.npz"
    write_labelled_samples(path, samples)
    return path


@asynccontextmanager
async def serving_samples(
    folder: Path,
    samples: LabelledSamples | None = None,
    *,
    classes: tuple[str, ...] = CLASSES,
    **settings: Any,
) -> AsyncIterator[World]:
    """Run a service whose version carries no labels.

    Args:
        folder: Gets the store and the folder of samples.
        samples: What that folder has for ``cifar10``; None: there is no such folder.
        classes: Of the version.
        **settings: Of the service.
    """
    if samples is not None:
        put(folder, samples)
    if not (folder / "store").exists():
        add_version(folder / "store", classes=classes, samples=unlabelled(classes))
    async with serving(folder / "store", samples_dir=folder / "samples", **settings) as world:
        yield world
