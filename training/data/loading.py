"""Recognises what lies at ``--data``, has it read, and hands over a data set ready for a run."""

from __future__ import annotations

import logging
from collections import Counter
from enum import StrEnum
from pathlib import Path, PurePosixPath

import numpy as np

from training.config import DataConfig
from training.data.class_folders import has_class_folders, read_class_folders
from training.data.dataset import DataError, Dataset, SourceData, Wanted
from training.data.duplicates import warn_of_duplicates
from training.data.file_tree import FileTree, open_tree
from training.data.idx import is_idx_folder, read_idx_folder
from training.data.npz import read_npz
from training.data.png_archive import is_png_archive, read_png_archive
from training.data.public import INPUT_SPECS, PUBLIC_CLASSES, download
from training.data.splits import divide

logger = logging.getLogger(__name__)


class Layout(StrEnum):
    """How a data set can lie on disk; the values are what messages call it."""

    CLASS_FOLDERS = "class folders (train/CLASS/*.jpg or CLASS/*.jpg; folder, .zip or .tar.gz)"
    PNG_ARCHIVE = "the PNG archive layout (train/N_class.png, test/N_class.png, labels.txt)"
    IDX = "a folder of IDX files (train-images-idx3-ubyte and so on, plain or .gz)"
    NPZ = "an .npz (x_train, y_train, …)"


_ACCEPTED = {
    "images": tuple(Layout),
    "cifar10": (Layout.CLASS_FOLDERS, Layout.PNG_ARCHIVE, Layout.NPZ),
    "fashion_mnist": (Layout.IDX, Layout.NPZ),
}

_MOST_SUFFIXES = 5


def load_dataset(config: DataConfig, path: Path | None = None, *, seed: int) -> Dataset:
    """Read a data set, and split off what it has no part for.

    Args:
        config: Which set, what its networks take, and the shares to split off.
        path: A local copy, in any ``Layout`` that fits the set. Without it ``keras.datasets``
            downloads the public sets.
        seed: Of the run; decides which images are split off.

    Raises:
        DataError: The path holds something else, or what it holds is broken or not enough.
    """
    wanted = Wanted(
        name=config.dataset,
        spec=config.input.spec if config.input else INPUT_SPECS[config.dataset],
        classes=PUBLIC_CLASSES.get(config.dataset),
        max_unreadable_share=config.max_unreadable_share,
    )
    source = download(wanted) if path is None else _read(path, wanted)
    _check_classes(source, path)
    fingerprint, classes, skipped = source.fingerprint, source.classes, source.skipped
    shares = {"validation": config.validation_share, "test": config.test_share}
    parts = divide(source, shares, seed=seed)
    split_off = tuple(part for part in shares if getattr(source, part) is None)
    dataset = Dataset(wanted.name, classes, wanted.spec, **parts, fingerprint=fingerprint,
                      skipped=skipped, split_off=split_off)  # fmt: skip
    if wanted.classes is None:
        warn_of_duplicates(dataset)
    logger.info("%s", dataset.summary)
    return dataset


def _read(path: Path, wanted: Wanted) -> SourceData:
    if not path.exists():
        raise DataError(f"{path} does not exist (--data)")
    if path.is_file() and path.suffix.lower() == ".npz":
        return read_npz(path, wanted)
    if path.is_dir() and is_idx_folder(path):
        _check_accepted(Layout.IDX, path, wanted)
        return read_idx_folder(path, wanted)
    with open_tree(path) as tree:
        if has_class_folders(tree):
            _check_accepted(Layout.CLASS_FOLDERS, path, wanted)
            return read_class_folders(tree, wanted)
        if is_png_archive(tree):
            _check_accepted(Layout.PNG_ARCHIVE, path, wanted)
            return read_png_archive(tree, wanted)
        raise DataError(_nothing_readable(tree, wanted))


def _check_accepted(layout: Layout, path: Path, wanted: Wanted) -> None:
    if layout not in _ACCEPTED[wanted.name]:
        raise DataError(
            f"{path} holds {layout}; {wanted.name} is read from {_accepted(wanted)} "
            "(data.dataset, --data)"
        )


def _accepted(wanted: Wanted) -> str:
    return " or ".join(_ACCEPTED[wanted.name])


def _nothing_readable(tree: FileTree, wanted: Wanted) -> str:
    if tree.images:
        found = f"{len(tree.images)} images, but none in the folder of a class"
    elif tree.others:
        kinds = Counter(PurePosixPath(name).suffix or "without ending" for name in tree.others)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(_MOST_SUFFIXES))
        found = f"no images, but {len(tree.others)} other files ({listed})"
    elif tree.folders:
        found = f"{len(tree.folders)} folders without files"
    else:
        found = "nothing"
    return f"{tree.place} holds {found}; {wanted.name} is read from {_accepted(wanted)}"


def _check_classes(source: SourceData, path: Path | None) -> None:
    place = path or "keras.datasets"
    if len(source.classes) < 2:
        raise DataError(f"{place} has one class only, {source.classes[0]!r}; at least 2 are needed")
    counts = np.bincount(source.train.labels, minlength=len(source.classes)).tolist()
    for name, count in zip(source.classes, counts, strict=True):
        if not count:
            readable = " that can be read" if source.skipped else ""
            raise DataError(f"{place}: class {name!r} has no training images{readable}")
    for part, split in (("validation", source.validation), ("test", source.test)):
        if split is not None and not len(split):
            raise DataError(f"{place}: no {part} image can be read")
