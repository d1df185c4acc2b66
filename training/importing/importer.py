"""From a file of somebody else's to a published version."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from app.artifacts.checksums import file_record
from app.artifacts.layout import REPORT, SAMPLES
from app.artifacts.manifest import Gate, GateCheck, Manifest, NetworkFormat, TrainingRecord
from app.artifacts.samples import SUM_TOLERANCE, Samples, write_samples
from app.artifacts.statistics import ReferenceStatistics
from app.errors import ArtifactError
from app.types import ImageArray, InputSpec, ScoreArray
from training.config import GateConfig
from training.evaluation.evaluate import probabilities
from training.fitting.hardware import describe
from training.importing.options import ImportOptions
from training.importing.samples import SamplePictures, read_samples_folder
from training.importing.source_folder import check_source_folder
from training.keras_networks import exact_arithmetic, executable, non_finite_weights
from training.publishing import publication
from training.publishing.export import manifest_input
from training.publishing.gate import GateError, require_numbers
from training.publishing.provenance import library_versions
from training.publishing.statistics import sample_statistics

logger = logging.getLogger(__name__)

SAMPLE_ACCURACY = "sample_accuracy"

MIN_SAMPLE_ACCURACY: float = GateConfig.model_fields["min_validation_accuracy"].default
"""What a training is asked for. A good network below it was given other pixels than in its
training, or the names in another order."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import, and as what.

    Attributes:
        source: ``.keras`` file, ``.h5`` file or SavedModel folder.
        name: Model to publish under.
        classes: Class names; the index is the class id.
        options: How its pixels and its answers are meant.
        samples: Folder of pictures for the self-test; None takes generated ones.
        models_dir: The store.
        command: How a stranger repeats the import; for the record.
        force: Publish whatever accuracy it has on labelled samples.
    """

    source: Path
    name: str
    classes: tuple[str, ...]
    options: ImportOptions
    samples: Path | None
    models_dir: Path
    command: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class ImportedNetwork:
    """A network with preprocessing and softmax inside.

    Attributes:
        format: How the version will hold it.
        source_format: What it was: keras, h5 or saved_model.
        architecture: Its own name.
        parameters: Number of its weights.
        non_finite_weights: Number of those that are NaN or infinite.
        spec: What uploads are brought to.
        execute: ``(N, H, W, C)`` uint8 to ``(N, K)`` float32.
        write: Writes it to a path.
    """

    format: NetworkFormat
    source_format: str
    architecture: str
    parameters: int
    non_finite_weights: int
    spec: InputSpec
    execute: Callable[[ImageArray], ScoreArray]
    write: Callable[[Path], object]


def import_network(request: ImportRequest) -> Path:
    """Check, load, wrap, try and publish; return the version's folder.

    Raises:
        ArtifactError: The source is damaged, carries code, or does not fit classes and options.
        DataError: The samples cannot be read.
        GateError: It has NaN in it, misses the accuracy on its samples, or the service refuses it.
    """
    network = _load(request)
    pictures = read_samples_folder(request.samples, network.spec, request.classes)
    images, labels = pictures.images, pictures.labels
    with exact_arithmetic():
        scores = probabilities(network.execute, images)
    require_numbers(network.non_finite_weights, scores)
    _require_probabilities(scores)
    samples = Samples(images, scores, labels)
    metrics = {}
    if labels is not None:
        metrics[SAMPLE_ACCURACY] = float(np.mean(scores.argmax(axis=1) == labels))
    gate = _judge(metrics, force=request.force)
    statistics = _describe(network, pictures, samples)

    def fill(folder: Path, version: int) -> Manifest:
        manifest = _manifest(request, network, gate, metrics, statistics, version)
        network.write(folder / manifest.network_file)
        write_samples(folder / SAMPLES, samples)
        _write_metrics(folder / REPORT, samples, metrics)
        return manifest

    return publication.publish(request.models_dir, request.name, fill)


def _describe(
    network: ImportedNetwork, pictures: SamplePictures, samples: Samples
) -> ReferenceStatistics | None:
    described = pictures.described
    if described is None:
        return None
    if described.images is pictures.images:  # the whole folder
        return sample_statistics(samples)
    with exact_arithmetic():
        scores = probabilities(network.execute, described.images)
    return sample_statistics(Samples(described.images, scores, described.labels))


def _load(request: ImportRequest) -> ImportedNetwork:
    source = request.source
    if source.is_dir():
        return _from_saved_model(request)
    if not source.exists():
        raise ArtifactError(f"{source} does not exist")
    if source.suffix in (".keras", ".h5", ".hdf5"):
        return _from_keras(request)
    raise ArtifactError(
        f"{source.name} is none of what can be imported: a .keras file, an .h5 file, or the folder "
        "of a SavedModel"
    )


def _from_keras(request: ImportRequest) -> ImportedNetwork:
    from training.importing.keras_network import (
        load_h5_file,
        load_keras_file,
        network_spec,
        number_of_classes,
        wrap,
    )

    is_keras = request.source.suffix == ".keras"
    network = (load_keras_file if is_keras else load_h5_file)(request.source)
    spec = network_spec(network, request.options)
    _check_classes(number_of_classes(network), request.classes)
    wrapped = wrap(network, spec, request.options)
    return ImportedNetwork(
        format="keras",
        source_format="keras" if is_keras else "h5",
        architecture=network.name,
        parameters=int(network.count_params()),
        non_finite_weights=non_finite_weights(network),
        spec=spec,
        execute=executable(wrapped),
        write=wrapped.save,
    )


def _from_saved_model(request: ImportRequest) -> ImportedNetwork:
    from training.importing.saved_model import freeze, load_saved_model, saved_model_spec

    check_source_folder(request.source)
    served = load_saved_model(request.source)
    spec = saved_model_spec(served, request.options)
    _check_classes(served.classes, request.classes)
    frozen = freeze(served, spec, request.options)
    return ImportedNetwork(
        format="saved_model",
        source_format="saved_model",
        architecture="saved_model",
        parameters=served.parameters,
        non_finite_weights=served.non_finite_weights,
        spec=spec,
        execute=frozen.execute,
        write=frozen.write,
    )


def _check_classes(width: int, classes: tuple[str, ...]) -> None:
    if width == 1:
        raise ArtifactError(
            "the network gives one value: the probability of one of two classes. Replace its end "
            "by two values with a softmax"
        )
    if width != len(classes):
        raise ArtifactError(f"the network gives {width} scores, --classes has {len(classes)} names")


def _require_probabilities(scores: ScoreArray) -> None:
    sums = scores.sum(axis=1)
    furthest = float(sums[np.argmax(np.abs(sums - 1))])
    if scores.min() < 0 or abs(furthest - 1) > SUM_TOLERANCE:
        raise ArtifactError(
            f"the network's answers are no probabilities: they reach from {scores.min():.3g} to "
            f"{scores.max():.3g}, and a row sums to {furthest:.3g}. If it ends without a softmax, "
            "say --logits"
        )


def _judge(metrics: dict[str, float], *, force: bool) -> Gate:
    checks = [GateCheck(name="non_finite_weights", value=0, limit=0, passed=True)]
    accuracy = metrics.get(SAMPLE_ACCURACY)
    if accuracy is None:
        return Gate(passed=True, checks=tuple(checks))
    passed = accuracy >= MIN_SAMPLE_ACCURACY
    checks.append(
        GateCheck(name=SAMPLE_ACCURACY, value=accuracy, limit=MIN_SAMPLE_ACCURACY, passed=passed)
    )
    if not passed and not force:
        raise GateError(
            f"accuracy {accuracy:.4f} on the samples is below {MIN_SAMPLE_ACCURACY:g}. Either the "
            "pixels differ from those of the training (--scale, --offset, --mean, --std), or the "
            "names in --classes are in another order; --force publishes it all the same"
        )
    return Gate(passed=passed, forced=not passed, checks=tuple(checks))


def _manifest(
    request: ImportRequest,
    network: ImportedNetwork,
    gate: Gate,
    metrics: dict[str, float],
    statistics: ReferenceStatistics | None,
    version: int,
) -> Manifest:
    return Manifest(
        name=request.name,
        version=version,
        created_at=datetime.now(UTC).replace(microsecond=0),
        format=network.format,
        architecture=network.architecture,
        parameters=network.parameters,
        input=manifest_input(network.spec),
        classes=request.classes,
        metrics=metrics,
        gate=gate,
        training=_record(request, network),
        statistics=statistics,
        files={},
    )


def _record(request: ImportRequest, network: ImportedNetwork) -> TrainingRecord:
    """Return where it comes from, as far as an import knows."""
    config: dict[str, Any] = {
        "source": request.source.name,
        "source_format": network.source_format,
        **request.options.record(),
        "samples": "generated" if request.samples is None else "given",
    }
    return TrainingRecord(
        dataset="imported",
        dataset_fingerprint=source_fingerprint(request.source),
        command=request.command,
        config={"import": config},
        seed=0,
        duration_s=0,
        hardware=describe(),
        libraries=library_versions(),
    )


def source_fingerprint(source: Path) -> str:
    """Return ``sha256:<hex>`` of a file, or of all names and contents in a folder."""
    if source.is_file():
        return f"sha256:{file_record(source).sha256}"
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        if path.is_file():
            line = f"{path.relative_to(source).as_posix()}\0{file_record(path).sha256}\n"
            digest.update(line.encode())
    return f"sha256:{digest.hexdigest()}"


def _write_metrics(folder: Path, samples: Samples, metrics: dict[str, float]) -> None:
    folder.mkdir()
    content = {"metrics": metrics, "samples": len(samples), "labelled": samples.labels is not None}
    text = json.dumps(content, indent=2) + "\n"
    (folder / "metrics.json").write_text(text, encoding="utf-8")
