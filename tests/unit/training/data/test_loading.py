from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.factories.datasets import write_class_folders, write_idx_folder
from tests.unit.training.data.reading import own_config, read_own, read_public
from training.data.dataset import DataError, SourceData, Split
from training.data.loading import load_dataset
from training.data.public import CIFAR10_CLASSES


def test_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist \(--data\)"):
        read_own(tmp_path / "nowhere")


def test_own_images_have_no_download() -> None:
    with pytest.raises(DataError, match="'images' has no public source"):
        load_dataset(own_config(), None, seed=0)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds nothing; images is read from class folders"):
        read_own(tmp_path)


def test_folder_of_something_else_is_refused_by_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.csv", "Makefile"):
        (tmp_path / name).write_text("no image")

    with pytest.raises(
        DataError, match=r"no images, but 4 other files \(2 \.txt, 1 without ending, 1 \.csv\)"
    ):
        read_own(tmp_path)


def test_images_without_class_folders_are_refused(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"": 3}, size=12) / "circle"

    with pytest.raises(DataError, match="3 images, but none in the folder of a class; images is"):
        read_own(folder)


def test_class_folders_without_files_are_refused(tmp_path: Path) -> None:
    for name in ("circle", "square"):
        (tmp_path / "train" / name).mkdir(parents=True)

    with pytest.raises(DataError, match="holds 3 folders without files; images is read from"):
        read_own(tmp_path)


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no data set")

    with pytest.raises(DataError, match=r"notes.txt is no \.npz, and no readable archive"):
        read_own(tmp_path / "notes.txt")


def test_public_set_is_not_read_from_a_layout_that_it_never_has(tmp_path: Path) -> None:
    idx = write_idx_folder(tmp_path / "idx")
    folders = write_class_folders(tmp_path / "folders", per_class=4)

    with pytest.raises(DataError, match=r"holds a folder of IDX files .*; cifar10 is read from"):
        read_public("cifar10", idx)
    with pytest.raises(DataError, match=r"holds class folders .*; fashion_mnist is read from"):
        read_public("fashion_mnist", folders)


def test_fingerprint_does_not_depend_on_the_split(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=8, size=12)

    first, other = read_own(folder, seed=1), read_own(folder, seed=2, validation_share=0.3)

    assert first.validation.images.tobytes() != other.validation.images.tobytes()
    assert first.fingerprint == other.fingerprint


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_fingerprint_changes_with_one_pixel_and_with_one_label(part: str) -> None:
    def fingerprint(*, pixel: int = 0, label: int = 0) -> str:
        parts = {
            name: Split(np.zeros((3, 2, 2, 1), np.uint8), np.zeros(3, np.int64))
            for name in ("train", "validation", "test")
        }
        parts[part].images[1, 0, 1, 0] = pixel
        parts[part].labels[2] = label
        return SourceData(
            ("a", "b"), parts["train"], parts["validation"], parts["test"]
        ).fingerprint

    assert fingerprint() == fingerprint()
    assert len({fingerprint(), fingerprint(pixel=1), fingerprint(label=1)}) == 3


def test_fingerprint_tells_a_validation_part_from_a_test_part(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"train": 4, "val": 2}, size=12)
    before = read_own(folder).fingerprint
    (folder / "val").rename(folder / "test")

    assert read_own(folder).fingerprint != before


# ---- the real sets ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_sets() -> Path:
    folder = os.environ.get("TEST_DATA_DIR")
    if folder is None:
        pytest.skip("TEST_DATA_DIR is not set: it names a folder of cifar.tgz and fashion-mnist/")
    return Path(folder)


@pytest.mark.data
@pytest.mark.timeout(300)  # 60,000 PNG files, on a busy machine
def test_cifar10_is_complete_and_balanced_from_archive_and_from_folder(
    real_sets: Path, tmp_path: Path
) -> None:
    packed = read_public("cifar10", real_sets / "cifar.tgz")
    with tarfile.open(real_sets / "cifar.tgz") as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = read_public("cifar10", tmp_path / "cifar")

    assert packed.classes == CIFAR10_CLASSES
    assert packed.train.images.shape == (45_000, 32, 32, 3)
    assert packed.test.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(packed.train.labels).tolist() == [4500] * 10
    assert np.bincount(packed.validation.labels).tolist() == [500] * 10
    assert np.bincount(packed.test.labels).tolist() == [1000] * 10
    assert packed.fingerprint == unpacked.fingerprint


@pytest.mark.data
def test_fashion_mnist_is_complete_and_balanced(real_sets: Path) -> None:
    dataset = read_public("fashion_mnist", real_sets / "fashion-mnist")

    assert dataset.train.images.shape == (54_000, 28, 28, 1)
    assert np.bincount(dataset.train.labels).tolist() == [5400] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    assert dataset.fingerprint == (
        "sha256:ece172613115fb18b120bec8f6c02271af90b8b8f0a5af5c51cbd5ceed68e619"
    )
