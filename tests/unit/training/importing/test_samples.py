"""Which pictures an imported version is tested by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.types import InputSpec
from tests.factories.datasets import write_class_folders
from training.data.dataset import DataError
from training.importing.samples import read_samples_folder

SPEC = InputSpec(12, 10, 3)
CLASSES = ("square", "circle", "stripes")


def folder(tmp_path: Path, **changes: object) -> Path:
    return write_class_folders(tmp_path / "set", parts={"": 4}, size=16, **changes)  # type: ignore[arg-type]


def test_folders_give_the_labels_in_the_order_of_the_class_names(tmp_path: Path) -> None:
    images, labels = read_samples_folder(folder(tmp_path), SPEC, CLASSES)

    assert images.shape == (12, 12, 10, 3)
    assert labels is not None
    assert labels.tolist() == [1] * 4 + [0] * 4 + [2] * 4  # circle, square, stripes on disk


def test_pictures_side_by_side_have_no_labels(tmp_path: Path) -> None:
    images, labels = read_samples_folder(folder(tmp_path) / "circle", SPEC, CLASSES)

    assert (len(images), labels) == (4, None)


def test_without_a_folder_pictures_are_generated() -> None:
    images, labels = read_samples_folder(None, SPEC, CLASSES)

    assert images.shape[1:] == SPEC.shape
    assert labels is None
    assert len(np.unique(images, axis=0)) == len(images)


def test_folder_that_is_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"stripes of .* are no classes .*has square, circle"):
        read_samples_folder(folder(tmp_path), SPEC, CLASSES[:2])


def test_pictures_beside_folders_are_refused(tmp_path: Path) -> None:
    place = folder(tmp_path)
    picture = next((place / "circle").iterdir())
    picture.rename(place / picture.name)

    with pytest.raises(DataError, match="1 images beside its folders"):
        read_samples_folder(place, SPEC, CLASSES)


def test_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        read_samples_folder(tmp_path, SPEC, CLASSES)
    with pytest.raises(DataError, match="is no folder"):
        read_samples_folder(tmp_path / "none", SPEC, CLASSES)


def test_unreadable_pictures_are_refused_beyond_a_twentieth(tmp_path: Path) -> None:
    place = folder(tmp_path)
    next((place / "circle").iterdir()).write_bytes(b"no picture")

    with pytest.raises(DataError, match="1 of 12 images cannot be read"):
        read_samples_folder(place, SPEC, CLASSES)
