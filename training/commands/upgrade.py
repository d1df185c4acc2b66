"""``keraserve-train upgrade``: publishes a version once more, with what newer releases add."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from app.artifacts.checksums import verify_files
from app.artifacts.layout import OPENVINO_MODEL, SAMPLES
from app.artifacts.manifest import Manifest, read_manifest
from app.artifacts.republish import first_version
from app.artifacts.samples import read_samples
from app.artifacts.signatures import unsigned_note
from app.artifacts.statistics import ReferenceStatistics
from app.errors import ArtifactError
from training.commands import OK
from training.commands.lookup import VERSION_HELP, add_models_dir, find_version
from training.commands.places import require_writable
from training.commands.quiet import import_tensorflow
from training.commands.subject import IMPORTED, training_dataset
from training.commands.version_texts import drift_gaps
from training.config_file import ConfigError
from training.importing.samples import may_be_chosen
from training.publishing.publication import republish
from training.publishing.store import model_versions

logger = logging.getLogger(__name__)

_DESCRIPTION = """\
Publishes the network of a version once more, as the next version of the model, with what this
release writes into a version and older ones did not: the statistics of its data, which the service
measures drift against, and the network exported for the openvino engine. Training record, metrics,
calibration, samples and report are those of the old version, which stays as it is.
`keraserve-train remove` takes it away. A signature is of one version: sign the new one, too.

A version that was trained here needs the data set that it was trained on. An imported one is
described by its labelled samples; where they were chosen from more, as many of each class, there is
no index over the classes.
"""


def add_parser(commands: Any) -> None:
    """Add ``upgrade`` to the subcommands."""
    parser = commands.add_parser(
        "upgrade",
        help="publish a version once more, with what newer releases add",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("version", metavar="VERSION", help=VERSION_HELP)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="local copy of the data set, as for `run`; without it the public sets are downloaded",
    )
    add_models_dir(parser)
    parser.set_defaults(handle=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Measure, publish, say what came of it.

    Raises:
        ArtifactError: There is no such version, it is damaged, or its record does not tell which
            images it has learnt from.
        ConfigError: Data are given for an imported version.
        DataError: The data set cannot be read, or is another one.
        GateError: The service refuses the new version.
    """
    folder = find_version(arguments.models_dir, arguments.version)
    manifest = read_manifest(folder)
    name = f"{manifest.name}:{manifest.version}"
    if _has_all(manifest):
        print(f"nothing to upgrade: {name} has all that this release puts into a version")
        return OK
    verify_files(folder, manifest)
    models_dir = _store(folder, manifest, arguments.models_dir)
    if (upgraded := _upgraded_version(manifest, models_dir)) is not None:
        print(f"nothing to upgrade: {manifest.name}:{upgraded} is that already")
        return OK
    require_writable(models_dir)
    statistics = manifest.statistics or _statistics(folder, manifest, arguments.data)
    if statistics is None and OPENVINO_MODEL in manifest.files:
        print(f"nothing to upgrade: {name} was imported without samples whose classes are known")
        return OK
    newest = model_versions(models_dir)[manifest.name][-1]
    if newest > manifest.version:
        logger.warning(
            "warning: %s:%d is newer; what is published now will take over from it",
            manifest.name,
            newest,
        )
    published = republish(folder, manifest, statistics, models_dir)
    added = statistics if manifest.statistics is None else None
    news = [f"published {published}: the network of {name}"]
    if added is not None:
        news.append(f"with statistics of {added.images:,} {added.source} images")
    if OPENVINO_MODEL in read_manifest(published).files.keys() - manifest.files.keys():
        news.append("exported for the openvino engine")
    print(", ".join(news))
    for line in unsigned_note(folder, published):
        print(line)
    if added is not None:
        for line in drift_gaps(added):
            print(line)
    return OK


def _has_all(manifest: Manifest) -> bool:
    return manifest.statistics is not None and OPENVINO_MODEL in manifest.files


def _upgraded_version(manifest: Manifest, models_dir: Path) -> int | None:
    """Return the newer version that is this one with all that this release adds."""
    for number in reversed(model_versions(models_dir)[manifest.name]):
        if number <= manifest.version:
            return None
        try:
            newer = read_manifest(models_dir / manifest.name / str(number))
        except ArtifactError:  # a broken version is none
            continue
        is_same = newer.republished_from == first_version(manifest)
        if is_same and _has_all(newer):
            return number
    return None


def _store(folder: Path, manifest: Manifest, models_dir: Path) -> Path:
    """Return the store that a version lies in, which is another one if it was given as a folder."""
    place = folder.resolve()
    if (place.parent.name, place.name) != (manifest.name, str(manifest.version)):
        raise ArtifactError(
            f"{folder} holds {manifest.name}:{manifest.version} and is not in a store, "
            f"{manifest.name}/{manifest.version}"
        )
    store = place.parents[1]
    return models_dir if store == models_dir.resolve() else store


def _statistics(folder: Path, manifest: Manifest, data: Path | None) -> ReferenceStatistics | None:
    if manifest.training.dataset == IMPORTED:
        if data is not None:
            raise ConfigError(
                f"{manifest.name}:{manifest.version} was imported: its own samples describe it, "
                "--data is for versions that were trained here"
            )
        from training.publishing.statistics import sample_statistics

        samples = read_samples(folder / SAMPLES)
        return sample_statistics(samples, are_chosen=may_be_chosen(len(samples)))
    dataset = training_dataset(manifest, data)
    import_tensorflow()
    from training.evaluation.confidence import measure_confidences
    from training.keras_networks import exact_arithmetic
    from training.published_networks import load_network
    from training.publishing.statistics import training_statistics

    with exact_arithmetic():
        confidences = measure_confidences(
            load_network(folder, manifest), dataset, manifest.calibration.temperature
        )
    return training_statistics(dataset, confidences)
