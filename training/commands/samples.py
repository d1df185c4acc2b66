"""``keraserve-train samples``: labelled test images, for the samples routes of the service."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from app.artifacts.array_file import MAX_BYTES
from app.artifacts.labelled_samples import (
    LabelledSamples,
    read_labelled_samples,
    write_labelled_samples,
)
from app.artifacts.manifest import Manifest, read_manifest
from app.artifacts.samples import MAX_SAMPLES
from app.errors import ArtifactError
from training.commands import OK, PROGRAM
from training.commands.lookup import add_models_dir, find_version
from training.commands.places import require_writable
from training.commands.subject import IMPORTED, find_subject, recorded_config
from training.config import DataConfig
from training.config_file import built_in_names, load_config
from training.data.dataset import DataError, Split
from training.data.loading import load_dataset
from training.data.public import PUBLIC_CLASSES
from training.data.test_sets import download_test_set
from training.publishing.samples import balanced_rows

logger = logging.getLogger(__name__)

_DESCRIPTION = """\
Makes the file of labelled samples of a model, its test images with their classes, which the service
shows and classifies on the routes /v1/models/NAME/samples. A service that runs takes it without a
restart. Models that carry their own samples need none.

Without --data, the test images of the public sets are downloaded. TensorFlow is not needed.
"""

_EXIT_CODES = """\
exit codes:
  0    made, or there already
  2    wrong arguments, configuration or data set; no network
  130  stopped with Ctrl-C; what was there before still is
"""


class Download(Protocol):
    """As ``download_test_set``."""

    def __call__(self, name: str, folder: Path) -> Split:
        """Return the test images of a public set."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """Whose samples are to be made.

    Attributes:
        name: The model.
        data: Which data set is its own.
        seed: Decides which images of it are for tests, where it has no such part.
        manifest: Of the version that was asked for; None for a configuration.
    """

    name: str
    data: DataConfig
    seed: int
    manifest: Manifest | None = None


def add_parser(commands: Any) -> None:
    """Add ``samples`` to the subcommands."""
    names = ", ".join(built_in_names())
    parser = commands.add_parser(
        "samples",
        help="make the labelled samples that the service shows of a model",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(handle=handle)
    parser.add_argument(
        "name",
        metavar="NAME",
        help=f"a configuration, that is a TOML file or one of: {names}; or a published model",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="a local copy of the data set, in any layout that `keraserve-train run` reads",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("data/samples"),
        metavar="DIR",
        help="where the file NAME.npz is put (default: %(default)s, where the service looks: "
        "KERASERVE_SAMPLES_DIR)",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="download again though the file is there"
    )
    add_models_dir(parser)


def handle(arguments: argparse.Namespace, download: Download = download_test_set) -> int:
    """Make the file, unless a download would only bring what is there.

    Args:
        arguments: Of the command line.
        download: Brings the test images of a public set, by its name and a folder with room.

    Raises:
        ArtifactError: There is no such configuration or model.
        ConfigError: The configuration cannot be used.
        DataError: The images cannot be had.
        OSError: The file cannot be written.
    """
    target = _find_target(arguments.name, arguments.models_dir)
    path = arguments.output / f"{target.name}.npz"
    if arguments.data is None and not arguments.fresh:
        there = _there(path, PUBLIC_CLASSES.get(target.data.dataset))
        if there is not None:
            print(f"{path} is there: {len(there):,} images; --fresh downloads it again")
            return OK
    require_writable(arguments.output)
    samples = _take(target, arguments.data, partial(download, folder=arguments.output))
    write_labelled_samples(path, samples)
    print(f"made {path}: {len(samples):,} images of {len(samples.classes)} classes")
    return OK


def _find_target(name: str, models_dir: Path) -> _Target:
    if name in built_in_names() or Path(name).is_file():
        config = load_config(name)
        return _Target(config.name, config.data, config.fit.seed)
    try:
        manifest = read_manifest(find_version(models_dir, name))
    except ArtifactError as error:
        there = ", ".join(built_in_names())
        raise ArtifactError(f"no configuration {name!r}, there is: {there}; {error}") from error
    if manifest.training.dataset == IMPORTED:
        data = DataConfig.model_construct(dataset="images")
    else:
        data = recorded_config(manifest).data
    return _Target(manifest.name, data, manifest.training.seed, manifest)


def _there(path: Path, classes: tuple[str, ...] | None) -> LabelledSamples | None:
    try:
        samples = read_labelled_samples(path)
    except ArtifactError as error:
        if path.exists():
            logger.warning("making it anew", extra={"reason": str(error)})
        return None
    return samples if samples.classes == classes else None


def _take(target: _Target, path: Path | None, download: Callable[[str], Split]) -> LabelledSamples:
    """Return the test images of the target's data set."""
    dataset = target.data.dataset
    if path is None and dataset in PUBLIC_CLASSES:
        try:
            return _limited(download(dataset), PUBLIC_CLASSES[dataset])
        except DataError as error:
            raise DataError(
                f"{error}. Without a network, give a local copy of the data set: {PROGRAM} samples "
                f"{target.name} --data PATH, or make samples CONFIG={target.name} DATA=PATH"
            ) from error
    if target.manifest is not None:
        found = find_subject(target.manifest, path, other_data=True).dataset
    else:
        found = load_dataset(target.data, path, seed=target.seed)
    return _limited(found.test, found.classes)


def _limited(test: Split, classes: tuple[str, ...]) -> LabelledSamples:
    """Return as many as a file may have; of more, as equally many of each class as there are."""
    room = (MAX_BYTES - (1 << 20)) // (test.images[0].nbytes + test.labels.itemsize)
    limit = min(MAX_SAMPLES, room)
    if len(test) > limit:
        fields = {"images": len(test), "taken": limit}
        logger.warning("a file of samples holds no more: some of each class", extra=fields)
        test = test.take(balanced_rows(test.labels, limit))
    return LabelledSamples(test.images, test.labels, classes)
