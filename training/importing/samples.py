"""The pictures that an imported version is tested by, and those that it is described by."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.types import ImageArray, InputSpec
from training.data.class_names import normal_name
from training.data.dataset import DataError, Split, Wanted
from training.data.decoding import LabelledFile, decode_parts
from training.data.file_tree import FileTree, open_tree
from training.publishing.pictures import generate_pictures
from training.publishing.samples import MAX_LABELLED, balanced_rows

logger = logging.getLogger(__name__)

MAX_UNREADABLE_SHARE = 0.05
"""More than that, and the folder is not what was meant."""

MAX_DESCRIBED = 5000
"""Enough for an index over a thousand classes; 15 MB at 32 × 32, and 750 MB at 224 × 224."""


@dataclass(frozen=True, slots=True, eq=False)
class SamplePictures:
    """What came of the folder.

    Attributes:
        images: ``(N, H, W, C)`` uint8, 0..255, for the self-test: as equally many of each class as
            there are.
        labels: ``(N,)`` their class ids, or None.
        described: The folder as it is, with the mix of classes that it has; None without classes.
    """

    images: ImageArray
    labels: NDArray[np.int64] | None
    described: Split | None


def read_samples_folder(
    folder: Path | None, spec: InputSpec, classes: Sequence[str]
) -> SamplePictures:
    """Read up to 1,000 pictures to test by, and up to 5,000 to describe the folder by.

    Args:
        folder: Class folders with the names in ``classes``, or pictures side by side, which are
            taken without labels. None: pictures made by code.
        spec: What they are brought to.
        classes: Class names; the index is the class id.

    Raises:
        DataError: No such folder, no picture in it, a folder that is no class, or too many
            pictures that cannot be read.
    """
    if folder is None:
        return SamplePictures(generate_pictures(spec), None, None)
    if not folder.is_dir():
        raise DataError(f"--samples: {folder} is no folder")
    with open_tree(folder) as tree:
        if not tree.images:
            raise DataError(f"--samples: {folder} holds no images")
        labels = _labels(tree, classes)
        files = [LabelledFile(name, labels[name] if labels else 0) for name in tree.images]
        tested = _choose(files)
        described = _draw(files) if labels and len(tested) < len(files) else []
        wanted = Wanted("samples", spec, max_unreadable_share=MAX_UNREADABLE_SHARE)
        # As a set with all its parts: one without them needs memory to be divided.
        parts = {"train": tested, "validation": (), "test": described}
        splits = decode_parts(tree, parts, wanted).splits
    split = splits["train"]
    if not len(split):
        raise DataError(f"--samples: no image in {folder} can be read")
    if labels is None:
        return SamplePictures(split.images, None, None)
    return SamplePictures(split.images, split.labels, splits["test"] if described else split)


def may_be_chosen(samples: int) -> bool:
    """Whether so many samples may be a choice: of fewer pictures, all are taken."""
    return samples >= MAX_LABELLED * (1 - MAX_UNREADABLE_SHARE)


def _labels(tree: FileTree, classes: Sequence[str]) -> Mapping[str, int] | None:
    """Return the class id of each picture; None where they lie side by side."""
    folders = {name: name.partition("/")[0] for name in tree.images if "/" in name}
    if not folders:
        return None
    if beside := len(tree.images) - len(folders):
        raise DataError(
            f"--samples: {tree.place} has {beside} images beside its folders; all must lie in "
            "folders of classes, or none"
        )
    ids = {normal_name(name): number for number, name in enumerate(classes)}
    unknown = sorted({normal_name(folder) for folder in folders.values()} - ids.keys())
    if unknown:
        raise DataError(
            f"--samples: the folders {', '.join(unknown)} of {tree.place} are no classes "
            f"(--classes has {', '.join(classes)})"
        )
    return {name: ids[normal_name(folder)] for name, folder in folders.items()}


def _choose(files: Sequence[LabelledFile]) -> list[LabelledFile]:
    rows = balanced_rows(np.array([file.label for file in files], np.int64), MAX_LABELLED)
    return [files[row] for row in rows]


def _draw(files: Sequence[LabelledFile]) -> list[LabelledFile]:
    """Take one in so many of every class: files are sorted by folder."""
    count = min(len(files), MAX_DESCRIBED)
    return [files[number * len(files) // count] for number in range(count)]
