from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.factories.datasets import write_idx, write_idx_folder
from tests.unit.training.data.reading import read_own, read_public
from training.data.dataset import DataError
from training.data.idx import read_idx
from training.data.public import FASHION_MNIST_CLASSES


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gzipped"])
def test_idx_folder_is_read(tmp_path: Path, suffix: str) -> None:
    folder = write_idx_folder(tmp_path / "set", suffix=suffix)

    dataset = read_public("fashion_mnist", folder)

    assert dataset.classes == FASHION_MNIST_CLASSES
    assert dataset.train.images.shape == (20, 28, 28, 1)
    assert sorted(dataset.validation.labels.tolist()) == list(range(10))
    assert dataset.test.labels.tolist() == list(range(10))
    assert dataset.test.labels.dtype == np.int64
    stored = read_idx(folder / f"t10k-images-idx3-ubyte{suffix}")
    np.testing.assert_array_equal(dataset.test.images[..., 0], stored)


def test_own_classes_are_called_by_their_ids(tmp_path: Path) -> None:
    dataset = read_own(write_idx_folder(tmp_path / "set", classes=4), side=28)

    assert dataset.classes == ("0", "1", "2", "3")


def test_labels_file_beside_them_names_the_classes(tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "set", classes=3)
    (folder / "labels.txt").write_text("bar\ncolumn\ndot\n")

    assert read_own(folder).classes == ("bar", "column", "dot")


def test_own_images_are_brought_to_the_network_s_size(tmp_path: Path) -> None:
    dataset = read_own(write_idx_folder(tmp_path / "set", side=20), side=12, channels=3)

    assert dataset.test.images.shape == (10, 12, 12, 3)
    assert (dataset.test.images[..., 0] == dataset.test.images[..., 2]).all()


def test_own_test_images_are_split_off_if_there_are_none(tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "set")
    for file in folder.glob("t10k-*"):
        file.unlink()

    dataset = read_own(folder)

    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [10, 10, 10]


def test_idx_values_come_back_as_written(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)

    np.testing.assert_array_equal(read_idx(write_idx(tmp_path / "a", array)), array)


IDX_DEFECTS = {
    "too short": b"\0\0\x08",
    "no IDX": b"PNG and so on, and so on",
    "of floats": b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0",
    "cut in its axes": b"\0\0\x08\x03\0\0\0\x01\0\0",
    "short of values": b"\0\0\x08\x01\0\0\0\x05abcd",
    "with values left over": b"\0\0\x08\x01\0\0\0\x01abcd",
}


@pytest.mark.parametrize("raw", IDX_DEFECTS.values(), ids=IDX_DEFECTS.keys())
def test_idx_file_is_refused_if(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "file").write_bytes(raw)

    with pytest.raises(DataError, match=r"no IDX file|its header says"):
        read_idx(tmp_path / "file")


@pytest.mark.parametrize("keep", [10, 40], ids=["cut", "cut later"])
def test_damaged_gzip_is_refused(tmp_path: Path, keep: int) -> None:
    path = write_idx(tmp_path / "a.gz", np.arange(250, dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(DataError, match="cannot be read"):
        read_idx(path)


def test_gzip_with_changed_bytes_is_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a.gz", np.arange(250, dtype=np.uint8))
    raw = bytearray(path.read_bytes())
    raw[30:60] = b"\xff" * 30
    path.write_bytes(raw)

    with pytest.raises(DataError, match="cannot be read"):
        read_idx(path)


def other_size(folder: Path) -> None:
    write_idx(folder / "train-images-idx3-ubyte", np.zeros((30, 32, 32), np.uint8))


def fewer_labels(folder: Path) -> None:
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(2, np.uint8))


def label_out_of_range(folder: Path) -> None:
    write_idx(folder / "t10k-labels-idx1-ubyte", np.arange(1, 11, dtype=np.uint8))


def labels_in_the_place_of_images(folder: Path) -> None:
    write_idx(folder / "train-images-idx3-ubyte", np.zeros(30, np.uint8))


def no_images(folder: Path) -> None:
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((0, 28, 28), np.uint8))


def missing_file(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()


def missing_test(folder: Path) -> None:
    for file in folder.glob("t10k-*"):
        file.unlink()


def missing_class(folder: Path) -> None:
    write_idx(folder / "train-labels-idx1-ubyte", np.arange(30, dtype=np.uint8) % 9)


def other_names(folder: Path) -> None:
    (folder / "labels.txt").write_text("\n".join("abcdefghij"))


def name_of(parameter: object) -> str:
    return getattr(parameter, "__name__", "")


FOLDER_DEFECTS = [
    (other_size, r"shape \(30, 32, 32\), must be \(N, 28, 28\) for fashion_mnist"),
    (fewer_labels, "t10k-labels.* has 2 labels, .*t10k-images.* has 10 images"),
    (label_out_of_range, "t10k-labels.* goes from 1 to 10, must be within 0 to 9"),
    (labels_in_the_place_of_images, r"train-images.* has shape \(30,\), must be"),
    (no_images, r"t10k-images.* has shape \(0, 28, 28\)"),
    (missing_file, "has neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"),
    (missing_test, "has neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte.gz"),
    (missing_class, "class 'Ankle boot' has no training images"),
    (other_names, "the classes are a, b, .*; those of fashion_mnist are T-shirt/top"),
]


@pytest.mark.parametrize(("damage", "message"), FOLDER_DEFECTS, ids=name_of)
def test_broken_idx_set_is_refused_with_its_reason(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = write_idx_folder(tmp_path / "set")
    damage(folder)

    with pytest.raises(DataError, match=message):
        read_public("fashion_mnist", folder)
