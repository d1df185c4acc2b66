"""What a data set is in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.types import ImageArray, InputSpec


class DataError(Exception):
    """The data set cannot be read; the message names the path and what was expected there."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images with their classes.

    Attributes:
        images: ``(N, H, W, C)`` uint8, 0..255.
        labels: ``(N,)`` int64, class ids.
    """

    images: ImageArray
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def take(self, rows: NDArray[np.intp]) -> Split:
        """Return the images and classes of ``rows``, in their order; a copy."""
        return Split(self.images[rows], self.labels[rows])


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader has to deliver.

    Attributes:
        name: Name of the set.
        spec: What the network takes; images of other sizes are brought to it.
        classes: Those of a public set, which must have these and images of ``spec``'s size; None
            for a set of one's own.
        max_unreadable_share: Share of the files that may be unreadable, 0..1.
    """

    name: str
    spec: InputSpec
    classes: tuple[str, ...] | None = None
    max_unreadable_share: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class SourceData:
    """A data set as its files have it; a part that they lack is None.

    Attributes:
        classes: Class names; the index is the class id.
        train: Images to learn from.
        validation: Images to choose by.
        test: Images to judge by.
        skipped: Files that could not be read, as ``name: reason``.
    """

    classes: tuple[str, ...]
    train: Split
    validation: Split | None = None
    test: Split | None = None
    skipped: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all pixels and labels in their order, as ``sha256:<hex>``."""
        digest = hashlib.sha256()
        _feed(digest, self.train)
        if self.validation is not None:
            digest.update(b"validation")  # the same images as a test part are another set
            _feed(digest, self.validation)
        if self.test is not None:
            _feed(digest, self.test)
        return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A data set ready for a run.

    Attributes:
        name: Name of the set, e.g. ``cifar10``.
        classes: Class names; the index is the class id.
        spec: What its networks take.
        train: Images to learn from.
        validation: Images that choices are made by: the epoch to keep, the temperature.
        test: Images to judge by at the very end, never learnt from, nothing chosen by them.
        fingerprint: Of the files' content, before parts were split off.
        skipped: Files that could not be read, as ``name: reason``.
        split_off: The parts that were taken out of the training images.
    """

    name: str
    classes: tuple[str, ...]
    spec: InputSpec
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    skipped: tuple[str, ...] = ()
    split_off: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """How many images there are of what, as one line."""
        source = f" ({' and '.join(self.split_off)} split off)" if self.split_off else ""
        skipped = f", {len(self.skipped):,} unreadable" if self.skipped else ""
        return (
            f"{self.name}: {len(self.classes)} classes; {len(self.train):,} training, "
            f"{len(self.validation):,} validation and {len(self.test):,} test images"
            f"{source}{skipped}"
        )


def _feed(digest: hashlib._Hash, split: Split) -> None:
    digest.update(np.ascontiguousarray(split.images).data)
    digest.update(np.ascontiguousarray(split.labels.astype("<i8")).data)
