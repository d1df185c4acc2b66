"""Which pictures an imported version is tested by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.imaging.encoder import encode_png
from app.types import InputSpec
from tests.factories.datasets import write_class_folders
from training.data.dataset import DataError
from training.importing.samples import read_samples_folder

SPEC = InputSpec(12, 10, 3)
CLASSES = ("square", "circle", "stripes")


def folder(tmp_path: Path, **changes: object) -> Path:
    return write_class_folders(tmp_path / "set", parts={"": 4}, size=16, **changes)  # type: ignore[arg-type]


def test_folders_give_the_labels_in_the_order_of_the_class_names(tmp_path: Path) -> None:
    pictures = read_samples_folder(folder(tmp_path), SPEC, CLASSES)

    assert pictures.images.shape == (12, 12, 10, 3)
    assert pictures.labels is not None
    assert (
        pictures.labels.tolist() == [1] * 4 + [0] * 4 + [2] * 4
    )  # circle, square, stripes on disk


def test_pictures_side_by_side_have_no_labels(tmp_path: Path) -> None:
    pictures = read_samples_folder(folder(tmp_path) / "circle", SPEC, CLASSES)

    assert (len(pictures.images), pictures.labels, pictures.described) == (4, None, None)


def test_without_a_folder_pictures_are_generated() -> None:
    pictures = read_samples_folder(None, SPEC, CLASSES)

    assert pictures.images.shape[1:] == SPEC.shape
    assert (pictures.labels, pictures.described) == (None, None)
    assert len(np.unique(pictures.images, axis=0)) == len(pictures.images)


def uneven_folder(tmp_path: Path, **counts: int) -> Path:
    """Pictures of one grey level in each class."""
    for level, (name, count) in enumerate(counts.items(), start=1):
        (tmp_path / name).mkdir()
        for number in range(count):
            picture = encode_png(np.full((4, 4, 3), 40 * level, np.uint8))
            (tmp_path / name / f"{number:05}.png").write_bytes(picture)
    return tmp_path


@pytest.mark.parametrize(
    ("counts", "tested", "described"),
    [
        pytest.param((900, 100), (900, 100), (900, 100), id="all that there are"),
        pytest.param((2700, 300), (700, 300), (2700, 300), id="as equally many as there are"),
        pytest.param((9000, 1000), (500, 500), (4500, 500), id="one in two"),
    ],
)
def test_tests_are_balanced_and_the_description_is_as_the_folder_is(
    tmp_path: Path, counts: tuple[int, int], tested: tuple[int, int], described: tuple[int, int]
) -> None:
    place = uneven_folder(tmp_path, ok=counts[0], bad=counts[1])

    pictures = read_samples_folder(place, InputSpec(4, 4, 3), ("ok", "bad"))

    assert pictures.labels is not None
    assert tuple(np.bincount(pictures.labels)) == tested
    assert pictures.described is not None
    assert tuple(np.bincount(pictures.described.labels)) == described
    assert pictures.described.images.mean() == pytest.approx(44, abs=0.1), "40 and 80, as 9 to 1"


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
