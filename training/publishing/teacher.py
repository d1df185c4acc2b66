"""A published version as the teacher of a run."""

from __future__ import annotations

import logging
from pathlib import Path

from app.artifacts.checksums import verify_files
from app.artifacts.layout import MODEL
from app.artifacts.manifest import Manifest, read_manifest
from app.errors import ArtifactError
from training.config import RunConfig
from training.config_file import ConfigError
from training.data.dataset import Dataset
from training.evaluation.calibration import apply_temperature
from training.fitting.teacher import Teacher
from training.keras_networks import executable, load_published
from training.publishing.export import manifest_input
from training.publishing.store import model_versions

logger = logging.getLogger(__name__)


def load_teacher(config: RunConfig, dataset: Dataset, models_dir: Path) -> Teacher | None:
    """Load the teacher that a configuration names, if it names one.

    Args:
        config: The run.
        dataset: What the student learns from.
        models_dir: Root of the store.

    Raises:
        ConfigError: There is no such version; it is damaged, of other classes or another input;
            or it has learnt from images that this run validates or tests with.
    """
    teacher, share = config.distillation.teacher, config.distillation.share
    if teacher is None:
        return None
    try:
        folder = _folder(models_dir, teacher)
        manifest = read_manifest(folder)
        verify_files(folder, manifest)
        _require_fitting(manifest, dataset)
        network = load_published(folder / MODEL)
    except ArtifactError as error:
        raise ConfigError(f"distillation.teacher is {teacher}: {error}") from error
    _require_unseen(manifest, config, dataset)
    logger.info(
        "learning from a teacher",
        extra={"teacher": teacher, "its_test_accuracy": manifest.metrics.get("test_accuracy")},
    )
    raw, temperature = executable(network), manifest.calibration.temperature
    return Teacher(lambda images: apply_temperature(raw(images), temperature), share)


def _folder(models_dir: Path, teacher: str) -> Path:
    name, _, number = teacher.partition(":")
    store = model_versions(models_dir)
    if int(number) not in store.get(name, ()):
        there = [f"{name}:{number}" for name, numbers in store.items() for number in numbers]
        raise ArtifactError(f"{models_dir} has no such version, but {', '.join(there) or 'none'}")
    return models_dir / name / number


def _require_fitting(manifest: Manifest, dataset: Dataset) -> None:
    if MODEL not in manifest.files:
        raise ArtifactError(f"it has no {MODEL}")
    if manifest.classes != dataset.classes:
        raise ArtifactError(
            f"it knows {', '.join(manifest.classes)}; "
            f"the images are of {', '.join(dataset.classes)}"
        )
    expected = manifest_input(dataset.spec)
    if manifest.input != expected:
        raise ArtifactError(f"it takes {manifest.input!r}, the images are {expected!r}")


def _require_unseen(manifest: Manifest, config: RunConfig, dataset: Dataset) -> None:
    """Refuse a teacher that would whisper what it remembers of the images kept apart."""
    teacher, record = config.distillation.teacher, manifest.training
    if record.dataset_fingerprint != dataset.fingerprint:
        logger.warning(
            "warning: %s was trained on other data (%s). If validation or test images of this run "
            "are among them, the accuracies will be too good",
            teacher,
            record.dataset,
        )
        return
    data = record.config.get("data", {})
    its = {f"data.{part}_share": data.get(f"{part}_share") for part in dataset.split_off}
    ours = {f"data.{part}_share": getattr(config.data, f"{part}_share")
            for part in dataset.split_off}  # fmt: skip
    if dataset.split_off:
        its["fit.seed"], ours["fit.seed"] = record.seed, config.fit.seed
    for key, value in ours.items():
        if its[key] != value:
            raise ConfigError(
                f"distillation.teacher is {teacher}: it was trained with {key} = {its[key]}, this "
                f"run has {value}; so it has learnt from images that this run validates or tests "
                "with. Give both the same"
            )
