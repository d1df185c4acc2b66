"""How the version that is published now does on the test images of a run."""

from __future__ import annotations

import logging
from pathlib import Path

from app.artifacts.checksums import verify_files
from app.artifacts.manifest import ManifestInput, read_manifest
from app.errors import ArtifactError
from training.config import RunConfig
from training.data.dataset import Dataset
from training.evaluation.evaluate import accuracy_and_loss, probabilities
from training.published_networks import divided_otherwise, load_network, require_alike
from training.publishing.store import model_versions

logger = logging.getLogger(__name__)


def published_accuracy(
    models_dir: Path, config: RunConfig, dataset: Dataset, expected_input: ManifestInput
) -> float | None:
    """Run the newest version that can be run on the test images, and return its accuracy.

    Its recorded accuracy would be of other images as soon as the data set grows. The temperature
    is left out: it changes no ranking.

    Args:
        models_dir: Root of the store.
        config: The run; its name is that of the model.
        dataset: Whose test images to run.
        expected_input: What the network to compare with takes.

    Returns:
        0..1; None, and a line in the log, where there is nothing to compare with.
    """
    versions = model_versions(models_dir).get(config.name)
    if not versions:
        logger.info("no published version to compare with", extra={"model": config.name})
        return None
    for version in reversed(versions):
        folder = models_dir / config.name / str(version)
        try:
            accuracy = _accuracy(folder, config, dataset, expected_input)
        except Exception as error:  # whatever an old file makes Keras raise must not cost the run
            logger.warning(
                "not compared with the published version",
                extra={"version": str(folder), "reason": str(error).strip().partition("\n")[0]},
            )
            continue
        logger.info(
            "compared with the published version",
            extra={"version": str(folder), "its_test_accuracy": round(accuracy, 4)},
        )
        return accuracy
    return None


def _accuracy(
    folder: Path, config: RunConfig, dataset: Dataset, expected_input: ManifestInput
) -> float:
    manifest = read_manifest(folder)
    require_alike(manifest, dataset, expected_input)
    if "test" in dataset.split_off and (reason := divided_otherwise(manifest, config, dataset)):
        raise ArtifactError(f"it may have learnt from these test images: {reason}")
    verify_files(folder, manifest)
    scores = probabilities(load_network(folder, manifest), dataset.test.images)
    accuracy, _ = accuracy_and_loss(scores, dataset.test.labels)
    return accuracy
