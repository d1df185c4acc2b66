"""Labelled samples: images with the classes that a data set gives them, to try a model with.

Those of a model are in a file of their own, or in its version (``samples.npz`` with ``labels``,
named by the version's manifest).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.artifacts.array_file import array_names, read_arrays
from app.artifacts.samples import check_images
from app.errors import ArtifactError
from app.types import ImageArray

_ARRAYS = ("images", "labels", "classes")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSamples:
    """Images in the order of their data set. One that exists is valid: building checks it.

    Attributes:
        images: ``(N, H, W, C)`` uint8, 0..255, C is 1 or 3; not always of the network's size.
        labels: ``(N,)`` int64, 0..K-1.
        classes: K names; the position is the class id.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what contradicts the description above.

        Raises:
            ArtifactError: Says what is wrong.
        """
        if self.images.dtype != np.uint8:
            raise ArtifactError(f"images are {self.images.dtype}, must be uint8")
        check_images(self.images)
        _check_classes(self.classes)
        _check_labels(self.labels, len(self.images), len(self.classes))

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    @property
    def size_bytes(self) -> int:
        """What they take in memory."""
        return self.images.nbytes + self.labels.nbytes


def _check_classes(classes: tuple[str, ...]) -> None:
    if len(classes) < 2 or not all(classes) or len(set(classes)) != len(classes):
        raise ArtifactError(
            f"the classes are {', '.join(map(repr, classes)) or 'none'}; they must be two or more "
            "names, each once"
        )


def _check_labels(labels: NDArray[np.int64], count: int, classes: int) -> None:
    if labels.dtype != np.int64:
        raise ArtifactError(f"labels are {labels.dtype}, must be int64")
    if labels.shape != (count,):
        raise ArtifactError(f"labels have shape {labels.shape}, must be ({count},)")
    if not np.all((labels >= 0) & (labels < classes)):
        raise ArtifactError(
            f"labels reach {labels.min()}..{labels.max()}, must be 0..{classes - 1}"
        )


def write_labelled_samples(path: Path, samples: LabelledSamples) -> None:
    """Put a file in its place by one rename: whoever reads finds the old one or all of this.

    Args:
        path: Its folder exists.
        samples: What it is to hold; the names of the classes go with them.

    Raises:
        OSError: It cannot be written; what was there before still is.
    """
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file:
            np.savez_compressed(
                file,
                images=samples.images,
                labels=samples.labels,
                classes=np.array(samples.classes),
            )
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_labelled_samples(path: Path) -> LabelledSamples:
    """Read a file that ``write_labelled_samples`` has written; nothing is unpickled.

    Raises:
        ArtifactError: The file is missing or damaged, or holds something else.
    """
    arrays = read_arrays(path, required=_ARRAYS)
    with _named(path):
        classes = _class_names(arrays["classes"])
        return LabelledSamples(arrays["images"], arrays["labels"], classes)


def read_own_samples(path: Path, classes: tuple[str, ...]) -> LabelledSamples | None:
    """Read the labelled samples of a version; None where its ``samples.npz`` has no labels.

    Args:
        path: The file.
        classes: Of the version's manifest.

    Raises:
        ArtifactError: The file is missing or damaged, or holds something else.
    """
    if "labels" not in array_names(path):
        return None
    arrays = read_arrays(
        path, required=("images", "probabilities", "labels"), skipped=("probabilities",)
    )
    with _named(path):
        return LabelledSamples(arrays["images"], arrays["labels"], classes)


def _class_names(names: NDArray[Any]) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ArtifactError(
            f"classes are {names.dtype} of shape {names.shape}, must be strings (K,)"
        )
    try:
        return tuple(map(str, names.tolist()))
    except ValueError as error:  # damaged: no characters
        raise ArtifactError(f"classes are no text: {error}") from error


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say of which file an error is."""
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"{path.name}: {error}") from error
