from __future__ import annotations

import logging
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories.datasets import write_class_folders
from tests.unit.training.data.reading import read_own, read_public
from training.data.dataset import DataError
from training.data.public import CIFAR10_CLASSES

NAMES = ("circle", "square", "stripes")


def test_parts_are_what_their_folders_hold(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"train": 5, "val": 3, "test": 2})

    dataset = read_own(folder, side=16, channels=3)

    assert dataset.classes == NAMES
    assert dataset.train.images.shape == (15, 16, 16, 3)
    assert dataset.train.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert dataset.validation.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert dataset.test.labels.tolist() == [0] * 2 + [1] * 2 + [2] * 2


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_validation_folder_may_be_called(tmp_path: Path, name: str) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"train": 4, name: 3, "test": 2}, size=12)

    assert len(read_own(folder).validation) == 9


def test_missing_parts_are_split_off(tmp_path: Path) -> None:
    dataset = read_own(write_class_folders(tmp_path / "set", per_class=20, size=12))

    assert np.bincount(dataset.validation.labels).tolist() == [2, 2, 2]
    assert np.bincount(dataset.test.labels).tolist() == [3, 3, 3]
    assert np.bincount(dataset.train.labels).tolist() == [15, 15, 15]


def test_class_folders_need_no_train_folder_above(tmp_path: Path) -> None:
    bare = write_class_folders(tmp_path / "bare", parts={"": 8}, size=12)
    whole = write_class_folders(tmp_path / "whole", parts={"train": 8}, size=12)

    assert read_own(bare).fingerprint == read_own(whole).fingerprint


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "webp", "bmp", "gif", "tif", "TIFF"])
def test_every_format_of_the_service_is_read(tmp_path: Path, suffix: str) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=4, size=12, suffix=suffix)

    dataset = read_own(folder)

    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 12
    assert dataset.skipped == ()


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=6, size=12)
    deeper = folder / "train" / "circle" / "2024" / "may"
    deeper.mkdir(parents=True)
    for file in sorted((folder / "train" / "circle").glob("*.jpg"))[:3]:
        file.rename(deeper / file.name)

    dataset = read_own(folder)

    assert dataset.classes == NAMES
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 18


def test_hidden_and_other_files_are_no_images(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=6, size=12)
    expected = read_own(folder)
    circle = folder / "train" / "circle"
    for name in ("Thumbs.db", ".DS_Store", "README.txt", "._circle_0001.jpg"):
        (circle / name).write_bytes(b"no image")
    (folder / "train" / ".cache").mkdir()
    shutil.copy(circle / "circle_0000.jpg", folder / "train" / ".cache" / "a.jpg")

    dataset = read_own(folder, max_unreadable_share=0)

    assert dataset.classes == NAMES
    assert dataset.fingerprint == expected.fingerprint


def test_classes_are_sorted_by_code_point(tmp_path: Path) -> None:
    names = ("zebra", "Ant", "éclair", "bee")
    folder = write_class_folders(tmp_path / "set", classes=names, per_class=4, size=12)

    assert read_own(folder).classes == ("Ant", "bee", "zebra", "éclair")


def test_labels_file_orders_the_classes(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"train": 4, "val": 1, "test": 1}, size=12)
    (folder / "labels.txt").write_text("\ufeffstripes\r\ncircle\r\n\r\nsquare\r\n", "utf-8")

    dataset = read_own(folder, side=12, channels=3)

    assert dataset.classes == ("stripes", "circle", "square")
    assert dataset.test.labels.tolist() == [0, 1, 2]
    for row, name in enumerate(dataset.classes):
        stored = np.asarray(Image.open(folder / "test" / name / f"{name}_0000.jpg"))
        np.testing.assert_array_equal(dataset.test.images[row], stored)


def test_accents_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "café")
    folder = write_class_folders(
        tmp_path / "set",
        classes=(unicodedata.normalize("NFD", composed), "tea"),
        parts={"train": 4, "val": 1},
        size=12,
    )
    write_class_folders(folder, classes=(composed, "tea"), parts={"test": 2}, size=12)
    (folder / "labels.txt").write_text(f"tea\n{composed}\n", encoding="utf-8")

    dataset = read_own(folder)

    assert dataset.classes == ("tea", composed)
    assert dataset.test.labels.tolist() == [0, 0, 1, 1]


def test_images_beside_the_class_folders_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=4, size=12)
    image = folder / "train" / "circle" / "circle_0000.jpg"
    shutil.copy(image, folder / "cover.jpg")
    shutil.copy(image, folder / "train" / "stray.jpg")
    (folder / "unsorted").mkdir()
    shutil.copy(image, folder / "unsorted" / "a.jpg")

    dataset = read_own(folder)

    record = next(entry for entry in caplog.records if "are ignored" in entry.message)
    assert vars(record)["images"] == 3
    assert vars(record)["places"] == "., train/, unsorted/"
    assert dataset.classes == NAMES


def test_class_that_test_lacks_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"train": 4, "test": 2}, size=12)
    shutil.rmtree(folder / "test" / "square")

    with caplog.at_level(logging.WARNING):
        dataset = read_own(folder)

    record = next(entry for entry in caplog.records if entry.message == "class without images")
    assert vars(record)["part"] == "test"
    assert vars(record)["class_name"] == "square"
    assert dataset.test.labels.tolist() == [0, 0, 2, 2]


def empty_class(folder: Path) -> None:
    for file in (folder / "train" / "square").iterdir():
        file.unlink()


def class_of_notes(folder: Path) -> None:
    empty_class(folder)
    (folder / "train" / "square" / "notes.txt").write_text("none yet")


def empty_test(folder: Path) -> None:
    for file in [*(folder / "test").rglob("*.jpg")]:
        file.unlink()


def class_only_in_test(folder: Path) -> None:
    shutil.copytree(folder / "test" / "circle", folder / "test" / "ring")


def lone_class(folder: Path) -> None:
    for part in ("train", "test"):
        shutil.rmtree(folder / part / "square")
        shutil.rmtree(folder / part / "stripes")


def no_train(folder: Path) -> None:
    shutil.rmtree(folder / "train")


def two_validations(folder: Path) -> None:
    shutil.copytree(folder / "test", folder / "val")
    shutil.copytree(folder / "test", folder / "validation")


def label_without_folder(folder: Path) -> None:
    (folder / "labels.txt").write_text("circle\nsquare\nstripes\nring\n")


def folder_without_label(folder: Path) -> None:
    (folder / "labels.txt").write_text("circle\nsquare\n")


def unreadable_class(folder: Path) -> None:
    for file in (folder / "train" / "square").iterdir():
        file.write_bytes(b"no image")


def name_of(parameter: object) -> str:
    return getattr(parameter, "__name__", "")


DEFECTS = [
    (empty_class, "class 'square' has no images in .*/set/train/square"),
    (class_of_notes, "class 'square' has no images in .*/set/train/square"),
    (empty_test, "/set/test has no images in class folders"),
    (class_only_in_test, r"classes \['ring'\] of .*/set/test have no training images"),
    (lone_class, "/set/train has one class only, 'circle'; at least 2 are needed"),
    (no_train, "/set has test/ but no train/"),
    (two_validations, "/set has both val/ and validation/; one must go"),
    (label_without_folder, "class 'ring' has no images in .*/set/train/ring"),
    (folder_without_label, r"classes \['stripes'\] are not in labels.txt"),
    (unreadable_class, "class 'square' has no training images that can be read"),
]


@pytest.mark.parametrize(("damage", "message"), DEFECTS, ids=name_of)
def test_broken_set_is_refused_with_its_reason(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"train": 4, "test": 2}, size=12)
    damage(folder)

    with pytest.raises(DataError, match=message):
        read_own(folder, max_unreadable_share=0.5)


def test_cifar10_is_read_from_class_folders(tmp_path: Path) -> None:
    folder = write_class_folders(
        tmp_path / "set", classes=CIFAR10_CLASSES, parts={"train": 3, "test": 1}, size=32
    )

    dataset = read_public("cifar10", folder)

    assert dataset.classes == CIFAR10_CLASSES
    assert dataset.train.images.shape == (20, 32, 32, 3)


def test_images_of_cifar10_have_its_size(tmp_path: Path) -> None:
    folder = write_class_folders(
        tmp_path / "set", classes=CIFAR10_CLASSES, parts={"train": 3, "test": 1}, size=48
    )

    with pytest.raises(DataError, match=r"\.jpg has 48 × 48 px, those of cifar10 have 32 × 32"):
        read_public("cifar10", folder)
