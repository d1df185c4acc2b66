"""What an evaluation is about: a published version, and the images that it can be judged by."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from app.artifacts.layout import REPORT
from app.artifacts.manifest import Manifest
from app.errors import ArtifactError
from training.config import DataConfig, InputConfig, RunConfig
from training.config_file import ConfigError
from training.data.dataset import DataError, Dataset, Split
from training.data.loading import load_dataset
from training.fitting.run_directory import EpochRecord

logger = logging.getLogger(__name__)

IMPORTED = "imported"
"""In the place of a data set's name, in the manifest of a version that was not trained here."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Images to judge a version by.

    Attributes:
        dataset: The images, with the classes in the order of the version.
        shows_pictures: Whether the version was published with pictures of its data set.
        notes: Sentences that a reader must know before the figures.
    """

    dataset: Dataset
    shows_pictures: bool
    notes: tuple[str, ...] = ()


def find_subject(manifest: Manifest, path: Path | None, *, other_data: bool) -> Subject:
    """Read the data set that a version was trained on, or any for one that was imported.

    Args:
        manifest: Of the version.
        path: As for ``load_dataset``; an imported version needs it.
        other_data: Go on with another data set than that of the training.

    Raises:
        ArtifactError: The version was trained by a release whose configuration was another.
        ConfigError: It was imported, and ``path`` is missing.
        DataError: The data set cannot be read, has other classes, or is another one.
    """
    if manifest.training.dataset == IMPORTED:
        return _foreign(manifest, path)
    config = recorded_config(manifest)
    dataset = _load(config, manifest, path)
    notes = _compare(dataset, manifest, other_data=other_data)
    return Subject(dataset, config.publish.samples == "labelled", notes)


def training_dataset(manifest: Manifest, path: Path | None) -> Dataset:
    """Read the very data set that a version was trained on, divided as it was then.

    Args:
        manifest: Of a version that was trained here.
        path: As for ``load_dataset``.

    Raises:
        ArtifactError: It was trained by a release whose configuration was another, or that kept no
            validation images apart.
        DataError: The data set cannot be read, or is another one.
    """
    config = recorded_config(manifest)
    if not _has_held_out_images(manifest):
        raise ArtifactError(
            f"{manifest.name}:{manifest.version} was trained before validation images were kept "
            "apart, so there are none that it has not learnt from: train it anew"
        )
    dataset = _load(config, manifest, path)
    if dataset.fingerprint != manifest.training.dataset_fingerprint:
        raise DataError(f"{_difference(dataset, manifest)}. Name the same data with --data")
    return dataset


def recorded_config(manifest: Manifest) -> RunConfig:
    """Return the configuration that a version was trained with.

    Raises:
        ArtifactError: It was trained by a release whose configuration was another.
    """
    try:
        return RunConfig.model_validate(manifest.training.config)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ArtifactError(
            f"{manifest.name}:{manifest.version} cannot be judged: its recorded configuration "
            f"is not one of keraserve-train run ({where}: {first['msg']}), so there is no telling "
            "which images it learnt from"
        ) from error


def read_history(folder: Path) -> list[EpochRecord]:
    """Return the epochs that the version's own report tells of, if it has one."""
    try:
        document = json.loads((folder / REPORT / "metrics.json").read_text(encoding="utf-8"))
        return list(document.get("history", ()))
    except (OSError, ValueError, AttributeError):
        return []


def _load(config: RunConfig, manifest: Manifest, path: Path | None) -> Dataset:
    dataset = load_dataset(config.data, path, seed=manifest.training.seed)
    if dataset.classes != manifest.classes:
        raise _other_classes(dataset, manifest)
    return dataset


def _foreign(manifest: Manifest, path: Path | None) -> Subject:
    if path is None:
        raise ConfigError(
            f"{manifest.name}:{manifest.version} was imported, so there is no data set on record "
            "to judge it by; --data names labelled images that it has not learnt from"
        )
    spec = manifest.input.spec
    size = InputConfig(
        height=spec.height,
        width=spec.width,
        channels=manifest.input.channels,
        resize=spec.resize,
        interpolation=spec.interpolation,
    )
    config = DataConfig(dataset="images", input=size)
    dataset = _in_order(load_dataset(config, path, seed=manifest.training.seed), manifest)
    if "test" in dataset.split_off:  # nothing is to be learnt here: all images can judge
        dataset = replace(dataset, test=_all_images(dataset))
    note = (
        "Imported: nothing is known of the images that it learnt from, so the training and "
        "validation accuracy are of parts of these data, and the temperature is fitted to none "
        "of them."
    )
    return Subject(dataset, shows_pictures=True, notes=(note,))


def _all_images(dataset: Dataset) -> Split:
    parts = (dataset.train, dataset.validation, dataset.test)
    return Split(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _in_order(dataset: Dataset, manifest: Manifest) -> Dataset:
    """Return the data set with its classes in the order of the version's."""
    if set(dataset.classes) != set(manifest.classes):
        if dataset.classes == tuple(map(str, range(len(manifest.classes)))):  # ids, without names
            return replace(dataset, classes=manifest.classes)
        raise _other_classes(dataset, manifest)
    order = np.array([manifest.classes.index(name) for name in dataset.classes])

    def relabelled(split: Split) -> Split:
        return Split(split.images, order[split.labels])

    return replace(
        dataset,
        classes=manifest.classes,
        train=relabelled(dataset.train),
        validation=relabelled(dataset.validation),
        test=relabelled(dataset.test),
    )


def _other_classes(dataset: Dataset, manifest: Manifest) -> DataError:
    return DataError(
        f"the data set has the classes {', '.join(dataset.classes)}; "
        f"{manifest.name}:{manifest.version} knows {', '.join(manifest.classes)}"
    )


def _compare(dataset: Dataset, manifest: Manifest, *, other_data: bool) -> tuple[str, ...]:
    """Return what a reader has to know of the data set; refuse one that cannot be meant."""
    if dataset.fingerprint == manifest.training.dataset_fingerprint:
        return _split_note(manifest)
    difference = _difference(dataset, manifest)
    if not other_data:
        raise DataError(
            f"{difference}: its test images may be among those that the network learnt from. "
            "Name the same data with --data, or go on with --other-data"
        )
    logger.warning("warning: %s; the test images may have been learnt from", difference)
    return (f"Other data: {difference}. Test images may be among those that it learnt from.",)


def _difference(dataset: Dataset, manifest: Manifest) -> str:
    return (
        f"this data set is {dataset.fingerprint}, {manifest.name}:{manifest.version} was trained "
        f"on {manifest.training.dataset_fingerprint}"
    )


def _has_held_out_images(manifest: Manifest) -> bool:
    return "validation_share" in manifest.training.config.get("data", {})


def _split_note(manifest: Manifest) -> tuple[str, ...]:
    if _has_held_out_images(manifest):
        return ()
    return (
        "Trained before validation images were kept apart: it learnt from them, so that the "
        "validation accuracy says no more than the training accuracy.",
    )
