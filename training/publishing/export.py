"""Turns a trained network into the files of a published version."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np

from app.artifacts.layout import MODEL, REPORT, SAMPLES
from app.artifacts.manifest import Gate, Manifest, ManifestInput, TrainingRecord
from app.artifacts.samples import Samples, write_samples
from app.artifacts.statistics import ReferenceStatistics
from app.errors import ArtifactError
from app.types import ImageArray, InputSpec, ScoreArray
from training.architectures import build_network
from training.config import RunConfig
from training.data.dataset import Dataset
from training.evaluation.evaluate import probabilities
from training.evaluation.reports import Report, write_report
from training.keras_networks import executable, load_published
from training.publishing import publication
from training.publishing.gate import GateError
from training.publishing.statistics import training_statistics


@dataclass(frozen=True, slots=True)
class Export:
    """A network on its way into the store.

    Attributes:
        model_path: The saved float32 network, somewhere outside the store.
        parameters: Weights of the network, those of its normalisations included.
        samples: What the self-test will run.
        gate: Why it may be published.
        training: Where it comes from.
        report: Content of the report folder; its figures and its temperature go into the
            manifest as well, and the samples are made with that temperature.
    """

    model_path: Path
    parameters: int
    samples: Samples
    gate: Gate
    training: TrainingRecord
    report: Report


def float32_network(trained: keras.Model, config: RunConfig, dataset: Dataset) -> keras.Model:
    """Return the same weights in a network that computes in float32 and has no optimiser.

    Mixed precision keeps its weights in float32; only the layers' arithmetic has to be rebuilt.
    """
    network = build_network(
        config.architecture, dataset.spec.shape, len(dataset.classes), pretrained=False
    )
    network.set_weights(trained.get_weights())
    return network


def round_trip_deviation(path: Path, images: ImageArray, expected: ScoreArray) -> float:
    """Load a saved network as the service does, and compare its probabilities.

    Args:
        path: The ``.keras`` file; nothing in it is unpickled or executed.
        images: ``(N, H, W, C)`` uint8.
        expected: ``(N, K)`` what the network said before it was saved.

    Returns:
        The largest difference; NaN if one of the two has NaN.

    Raises:
        GateError: It cannot be loaded.
    """
    try:
        loaded = load_published(path)
    except ArtifactError as error:
        raise GateError(f"the saved network is of no use: {error}") from error
    return float(np.max(np.abs(probabilities(executable(loaded), images) - expected)))


def publish(export: Export, config: RunConfig, dataset: Dataset, models_dir: Path) -> Path:
    """Write a new version into the store, complete or not at all; return its folder.

    Raises:
        GateError: The service's own runtime cannot load it, or computes other probabilities.
    """

    statistics = training_statistics(dataset, export.report.study.confidences)

    def fill(folder: Path, version: int) -> Manifest:
        manifest = _manifest(export, config, dataset, version, statistics)
        shutil.copyfile(export.model_path, folder / MODEL)
        write_samples(folder / SAMPLES, export.samples)
        write_report(folder / REPORT, export.report, manifest)
        return manifest

    return publication.publish(models_dir, config.name, fill)


def _manifest(
    export: Export,
    config: RunConfig,
    dataset: Dataset,
    version: int,
    statistics: ReferenceStatistics,
) -> Manifest:
    return Manifest(
        name=config.name,
        version=version,
        created_at=datetime.now(UTC).replace(microsecond=0),
        architecture=config.architecture.name,
        parameters=export.parameters,
        input=manifest_input(dataset.spec),
        classes=dataset.classes,
        calibration=export.report.study.calibration,
        metrics=export.report.study.metrics,
        gate=export.gate,
        training=export.training,
        statistics=statistics,
        files={},
    )


def manifest_input(spec: InputSpec) -> ManifestInput:
    """Return the input of a network that has its rescaling inside."""
    return ManifestInput(
        height=spec.height,
        width=spec.width,
        channels=1 if spec.channels == 1 else 3,
        resize=spec.resize,
        interpolation=spec.interpolation,
    )
