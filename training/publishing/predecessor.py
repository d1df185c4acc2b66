"""How the version that is published now does on the test images of a run."""

from __future__ import annotations

import logging
from pathlib import Path

import keras

from app.artifacts.checksums import verify_files
from app.artifacts.layout import MODEL
from app.artifacts.manifest import Manifest, ManifestInput, read_manifest
from app.errors import ArtifactError
from training.data.dataset import Dataset
from training.evaluation.evaluate import accuracy_and_loss, probabilities
from training.keras_networks import executable
from training.publishing.store import model_versions

logger = logging.getLogger(__name__)


def published_accuracy(
    models_dir: Path, name: str, dataset: Dataset, expected_input: ManifestInput
) -> float | None:
    """Run the newest version of a model on the test images, and return its accuracy.

    Its recorded accuracy would be of other images as soon as the data set grows. The temperature
    is left out: it changes no ranking.

    Args:
        models_dir: Root of the store.
        name: Of the model.
        dataset: Whose test images to run.
        expected_input: What the network to compare with takes.

    Returns:
        0..1; None, and a line in the log, where there is nothing to compare with.
    """
    versions = model_versions(models_dir).get(name)
    if not versions:
        logger.info("no published version to compare with", extra={"model": name})
        return None
    folder = models_dir / name / str(versions[-1])
    try:
        network = _load(folder, dataset, expected_input)
        scores = probabilities(executable(network), dataset.test.images)
    except Exception as error:  # whatever an old file makes Keras raise must not cost the run
        logger.warning(
            "not compared with the published version",
            extra={"version": str(folder), "reason": str(error).strip().partition("\n")[0]},
        )
        return None
    accuracy, _ = accuracy_and_loss(scores, dataset.test.labels)
    logger.info(
        "compared with the published version",
        extra={"version": str(folder), "its_test_accuracy": round(accuracy, 4)},
    )
    return accuracy


def _load(folder: Path, dataset: Dataset, expected_input: ManifestInput) -> keras.Model:
    manifest = read_manifest(folder)
    _require_comparable(manifest, dataset, expected_input)
    verify_files(folder, manifest)
    return keras.models.load_model(folder / MODEL, compile=False, safe_mode=True)


def _require_comparable(
    manifest: Manifest, dataset: Dataset, expected_input: ManifestInput
) -> None:
    if MODEL not in manifest.files:
        raise ArtifactError(f"it has no {MODEL}")
    if manifest.classes != dataset.classes:
        raise ArtifactError("it has other classes")
    if manifest.input != expected_input:
        raise ArtifactError("it takes another input")
