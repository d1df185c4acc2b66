"""The IDX files of MNIST and Fashion-MNIST, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import NamedArray, check_label_range, make_split, numbered_classes
from training.data.class_names import LABELS_FILE, check_class_names, parse_class_names
from training.data.dataset import DataError, SourceData, Split, Wanted
from training.data.rows import check_memory

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UINT8 = 0x08


def is_idx_folder(folder: Path) -> bool:
    """Tell whether one of the four files is there."""
    return any(_find(folder, name) for names in _FILES.values() for name in names)


def read_idx_folder(folder: Path, wanted: Wanted) -> SourceData:
    """Read the files of training and test images.

    A set of one's own may lack both files of the test images. The classes are named by a
    ``labels.txt`` beside them, else by their ids, or as the public set calls them.

    Raises:
        DataError: A file is missing or damaged, or has another shape.
    """
    optional = wanted.classes is None and not any(_find(folder, name) for name in _FILES["test"])
    arrays = {
        part: [NamedArray(name, read_idx(_existing(folder, name))) for name in names]
        for part, names in _FILES.items()
        if not (part == "test" and optional)
    }
    check_memory({part: len(images.values) for part, (images, _) in arrays.items()}, wanted.spec)
    splits = {
        part: make_split(
            NamedArray(f"{folder / images.name}", images.values),
            NamedArray(f"{folder / labels.name}", labels.values),
            wanted,
        )
        for part, (images, labels) in arrays.items()
    }
    classes = _classes(folder, splits["train"], wanted)
    for part, split in splits.items():
        check_label_range(f"{folder / _FILES[part][1]}", split, classes)
    return SourceData(classes, train=splits["train"], test=splits.get("test"))


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, plain or gzipped, in the shape its header gives.

    The format: two zero bytes, the type (0x08 is uint8), the number of axes, each axis as
    big-endian uint32, then the values (Y. LeCun, "The MNIST database of handwritten digits").

    Raises:
        DataError: Not IDX, another type, or a length that does not fit the header.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return parse_idx(raw, str(path))


def parse_idx(raw: bytes, place: str) -> NDArray[np.uint8]:
    """Read the content of an IDX file as ``read_idx`` does; ``place`` is for messages."""
    start = 4 + 4 * raw[3] if len(raw) >= 4 else 4
    if len(raw) < start or raw[:2] != b"\0\0" or raw[2] != _UINT8:
        raise DataError(f"{place} is no IDX file of unsigned bytes")
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], ">u4"))
    if len(raw) - start != math.prod(shape):
        raise DataError(
            f"{place} holds {len(raw) - start} values, its header says {math.prod(shape)}"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((file for file in candidates if file.is_file()), None)


def _existing(folder: Path, name: str) -> Path:
    file = _find(folder, name)
    if file is None:
        raise DataError(f"{folder} has neither {name} nor {name}.gz")
    return file


def _classes(folder: Path, train: Split, wanted: Wanted) -> tuple[str, ...]:
    file = folder / LABELS_FILE
    if not file.is_file():
        return wanted.classes or numbered_classes(train)
    try:
        classes = parse_class_names(file.read_bytes(), folder)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    check_class_names(classes, wanted, folder)
    return classes
