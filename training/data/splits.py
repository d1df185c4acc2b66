"""Takes validation and test images out of the training ones, where a data set has no such part."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import DataError, SourceData, Split

_PARTS = ("train", "validation", "test")
"""Each draws from its own stream of chance, and validation first: whether a set has a test part
does not move its validation images."""


def divide(source: SourceData, shares: Mapping[str, float], *, seed: int) -> dict[str, Split]:
    """Return ``train``, ``validation`` and ``test``; what the source lacks is drawn at random.

    Args:
        source: What there is.
        shares: Of ``validation`` and ``test``: the part of each class's training images, 0..0.5,
            that is taken if the source has no such part; at least one image, and one is left.
        seed: Of the run.

    Returns:
        The parts, disjoint, each in the order of the source.

    Raises:
        DataError: A class has too few images to give any away.
    """
    given = {"train": source.train, "validation": source.validation, "test": source.test}
    lacking = [part for part in _PARTS if given[part] is None]
    _check_enough(source, lacking)
    owner = np.zeros(len(source.train), np.int8)  # (N,), position in _PARTS
    for part in lacking:
        number = _PARTS.index(part)
        rng = np.random.default_rng([seed, number])
        for label in range(len(source.classes)):
            members = np.flatnonzero(source.train.labels == label)
            drawn = rng.permutation(members)
            free = drawn[owner[drawn] == 0]
            owner[free[: _count(len(members), len(free), shares[part])]] = number
    drawn_parts = ("train", *lacking) if lacking else ()
    parts = {part: split for part, split in given.items() if split is not None}
    return parts | {
        part: source.train.take(_rows(owner == _PARTS.index(part))) for part in drawn_parts
    }


def _count(members: int, free: int, share: float) -> int:
    return min(max(round(share * members), 1), free - 1)


def _check_enough(source: SourceData, lacking: list[str]) -> None:
    needed = 1 + len(lacking)
    counts = np.bincount(source.train.labels, minlength=len(source.classes)).tolist()
    for name, count in zip(source.classes, counts, strict=True):
        if count < needed:
            raise DataError(
                f"class {name!r} has {count} training image{'s' * (count != 1)}, too few to take "
                f"the {' and '.join(lacking)} images from: at least {needed} are needed"
            )


def _rows(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.flatnonzero(mask)
