"""A published version as the teacher of a run."""

from __future__ import annotations

import logging
from pathlib import Path

from app.artifacts.checksums import verify_files
from app.artifacts.manifest import Manifest, read_manifest
from app.errors import ArtifactError
from training.config import RunConfig
from training.config_file import ConfigError
from training.data.dataset import Dataset
from training.evaluation.calibration import apply_temperature
from training.fitting.teacher import Teacher
from training.published_networks import divided_otherwise, load_network, require_alike
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
    name, share = config.distillation.teacher, config.distillation.share
    if name is None:
        return None
    try:
        folder = _folder(models_dir, name)
        manifest = read_manifest(folder)
        verify_files(folder, manifest)
        sha256 = manifest.files[manifest.network_file].sha256
        if config.distillation.teacher_sha256 not in (None, sha256):
            raise ArtifactError(f"its network is {sha256}, not distillation.teacher_sha256")
        require_alike(manifest, dataset, manifest_input(dataset.spec))
        _require_unseen(manifest, config, dataset)
        raw = load_network(folder, manifest)
    except ArtifactError as error:
        raise ConfigError(f"distillation.teacher is {name}: {error}") from error
    logger.info(
        "learning from a teacher",
        extra={"teacher": name, "its_test_accuracy": manifest.metrics.get("test_accuracy")},
    )
    temperature = manifest.calibration.temperature
    return Teacher(
        lambda images: apply_temperature(raw(images), temperature),
        share,
        sha256=sha256,
    )


def _folder(models_dir: Path, teacher: str) -> Path:
    name, _, number = teacher.partition(":")
    store = model_versions(models_dir)
    if int(number) not in store.get(name, ()):
        there = [f"{name}:{number}" for name, numbers in store.items() for number in numbers]
        raise ArtifactError(f"{models_dir} has no such version, but {', '.join(there) or 'none'}")
    return models_dir / name / number


def _require_unseen(manifest: Manifest, config: RunConfig, dataset: Dataset) -> None:
    """Refuse a teacher that would pass on what it remembers of the images kept apart."""
    record = manifest.training
    if record.dataset != dataset.name:
        logger.warning(
            "warning: the teacher was trained on other data (%s). If validation or test images of "
            "this run are among them, the accuracies will be too good",
            record.dataset,
        )
    elif reason := divided_otherwise(manifest, config, dataset):
        raise ArtifactError(
            f"{reason}; so it may have learnt from images that this run validates or tests with. "
            "Give both the same data, seed and shares"
        )
