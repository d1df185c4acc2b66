from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories.datasets import CLASSES, pack, write_png_folder
from tests.unit.training.data.reading import read_own, read_public
from training.data.dataset import DataError


def test_images_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_png_folder(tmp_path / "set", train=6, test=12)

    dataset = read_own(folder)

    assert dataset.classes == CLASSES
    assert dataset.test.images.shape == (12, 8, 8, 1)
    assert dataset.test.images.dtype == np.uint8
    assert dataset.test.labels.tolist() == [0, 1, 2] * 4
    for number in (2, 10):  # 10 stands before 2 in the order of names
        stored = np.asarray(Image.open(folder / "test" / f"{number}_{CLASSES[number % 3]}.png"))
        np.testing.assert_array_equal(dataset.test.images[number, :, :, 0], stored)


@pytest.mark.parametrize("ending", ["tgz", "zip"])
def test_archive_and_folder_are_the_same_data_set(tmp_path: Path, ending: str) -> None:
    folder = write_png_folder(tmp_path / "set")

    from_folder = read_own(folder)
    from_archive = read_own(pack(folder, tmp_path / f"packed.{ending}"))

    assert from_archive.fingerprint == from_folder.fingerprint
    np.testing.assert_array_equal(from_archive.train.images, from_folder.train.images)
    np.testing.assert_array_equal(from_archive.test.images, from_folder.test.images)


def test_images_of_another_size_are_brought_to_the_network_s(tmp_path: Path) -> None:
    dataset = read_own(write_png_folder(tmp_path / "set", side=20, rgb=True))

    assert dataset.train.images.shape[1:] == (8, 8, 1)


def test_class_names_may_have_spaces(tmp_path: Path) -> None:
    folder = write_png_folder(tmp_path / "set")
    for file in [*folder.rglob("*_dot.png")]:
        file.rename(file.with_name(file.name.replace("dot", "red dot")))
    (folder / "labels.txt").write_text("bar\ncolumn\nred dot\n", encoding="utf-8")

    assert read_own(folder).classes[2] == "red dot"


def test_public_set_must_have_its_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the classes are bar, column, dot; those of cifar10 are"):
        read_public("cifar10", write_png_folder(tmp_path / "set", side=32, rgb=True))


def drop_labels(folder: Path) -> None:
    (folder / "labels.txt").unlink()


def drop_test(folder: Path) -> None:
    for file in (folder / "test").iterdir():
        file.unlink()


def add_unknown_class(folder: Path) -> None:
    (folder / "train" / "0_bar.png").rename(folder / "train" / "0_sphere.png")


def cut_image(folder: Path) -> None:
    file = folder / "train" / "1_column.png"
    file.write_bytes(file.read_bytes()[:40])


def replace_image(folder: Path) -> None:
    (folder / "test" / "2_dot.png").write_text("no picture")


def repeat_class(folder: Path) -> None:
    (folder / "labels.txt").write_text("bar\nbar\n")


def name_class_without_images(folder: Path) -> None:
    (folder / "labels.txt").write_text("bar\ncolumn\ndot\nsphere\n")


def write_labels_in_another_encoding(folder: Path) -> None:
    (folder / "labels.txt").write_bytes("bär\ncolumn\ndot\n".encode("latin-1"))


def name_of(parameter: object) -> str:
    return getattr(parameter, "__name__", "")


DEFECTS = [
    (drop_labels, "has no labels.txt"),
    (drop_test, "has no images named test/N_class.png"),
    (add_unknown_class, r"classes \['sphere'\] of train/ are not in labels.txt"),
    (cut_image, r"1 of 9 images cannot be read \(11\.1%\).*train/1_column.png: "),
    (replace_image, "test/2_dot.png: The file is not a known image"),
    (repeat_class, "must name two classes or more, each once"),
    (name_class_without_images, "class 'sphere' has no training images"),
    (write_labels_in_another_encoding, "labels.txt is not UTF-8"),
]


@pytest.mark.parametrize(("damage", "message"), DEFECTS, ids=name_of)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_broken_set_is_refused_with_its_reason(
    tmp_path: Path, damage: Callable[[Path], None], message: str, packed: bool
) -> None:
    path = write_png_folder(tmp_path / "set")
    damage(path)
    if packed:
        path = pack(path, tmp_path / "set.tgz")

    with pytest.raises(DataError, match=message):
        read_own(path)
