"""One ``.npz`` file: ``x_train``, ``y_train``, and what else there is by such names."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from training.data.arrays import NamedArray, check_label_range, make_split, numbered_classes
from training.data.class_names import check_class_names, normal_name
from training.data.dataset import DataError, SourceData, Split, Wanted
from training.data.rows import check_memory

_PARTS = {"train": "train", "validation": "val", "test": "test"}
"""Part, and the ending of its two keys."""


def read_npz(path: Path, wanted: Wanted) -> SourceData:
    """Read ``x_train, y_train``, optionally ``x_val, y_val``, ``x_test, y_test`` and ``classes``.

    ``classes`` names them in the order of their ids; without it they are called by their ids, or
    as the public set calls them. Nothing is unpickled.

    Raises:
        DataError: No such file, keys are missing, or an array has another type or shape.
    """
    arrays = _read(path)
    counts = {part: len(arrays[f"x_{end}"]) for part, end in _PARTS.items() if f"x_{end}" in arrays}
    check_memory(counts, wanted.spec)
    splits = {part: _split(path, arrays, _PARTS[part], wanted) for part in counts}
    classes = _classes(path, arrays.get("classes"), splits["train"], wanted)
    for part, split in splits.items():
        check_label_range(f"{path}: y_{_PARTS[part]}", split, classes)
    return SourceData(classes, splits["train"], splits.get("validation"), splits.get("test"))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    keys = {f"{axis}_{end}" for end in _PARTS.values() for axis in "xy"} | {"classes"}
    try:
        with path.open("rb") as file:  # numpy leaves a damaged one open
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, NpzFile):
                raise DataError(f"{path} is no readable .npz: it is a single array, an .npy")
            found = sorted(archive.files)
            arrays = {key: archive[key] for key in found if key in keys}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is no readable .npz: {error}") from error
    for end in _PARTS.values():
        missing = [key for key in (f"x_{end}", f"y_{end}") if key not in arrays]
        if len(missing) == 1 or (missing and end == "train"):
            raise DataError(
                f"{path} has no {' and no '.join(missing)}; it has {', '.join(found) or 'nothing'}"
            )
    for key in arrays.keys() - {"classes"}:
        if not arrays[key].ndim:
            raise DataError(f"{path}: {key} is a single value, must be an array")
    return arrays


def _split(path: Path, arrays: dict[str, NDArray[Any]], end: str, wanted: Wanted) -> Split:
    images, labels = (
        NamedArray(f"{path}: {key}", arrays.pop(key)) for key in (f"x_{end}", f"y_{end}")
    )
    return make_split(images, labels, wanted)


def _classes(
    path: Path, names: NDArray[Any] | None, train: Split, wanted: Wanted
) -> tuple[str, ...]:
    if names is None:
        return wanted.classes or numbered_classes(train)
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(
            f"{path}: classes is {names.dtype} of shape {names.shape}, must be strings (K,)"
        )
    try:
        texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: classes is not UTF-8: {error}") from error
    classes = tuple(map(normal_name, texts))
    if len(set(classes)) != len(classes):
        raise DataError(f"{path}: classes names one twice: {', '.join(classes)}")
    check_class_names(classes, wanted, path)
    return classes
