from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.types import ImageArray, InputSpec
from tests.factories.datasets import (
    CLASSES,
    pack,
    write_idx,
    write_idx_folder,
    write_png_folder,
)
from training.data import (
    CIFAR10_CLASSES,
    FASHION_MNIST_CLASSES,
    DataError,
    Dataset,
    Split,
    load_dataset,
    read_idx,
)

SPEC = InputSpec(height=8, width=8, channels=1)


def load_images(path: Path) -> Dataset:
    return load_dataset("images", path, SPEC)


def test_folder_gives_images_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_png_folder(tmp_path / "set", train=12)

    dataset = load_images(folder)

    assert dataset.classes == CLASSES
    assert dataset.train.images.shape == (12, 8, 8, 1)
    assert dataset.train.images.dtype == np.uint8
    assert dataset.train.labels.tolist() == [0, 1, 2] * 4
    for number in (2, 10):  # 10 stands before 2 in the order of names
        stored = np.asarray(Image.open(folder / "train" / f"{number}_{CLASSES[number % 3]}.png"))
        np.testing.assert_array_equal(dataset.train.images[number, :, :, 0], stored)


def test_archive_and_folder_are_the_same_data_set(tmp_path: Path) -> None:
    folder = write_png_folder(tmp_path / "set")

    from_folder, from_archive = load_images(folder), load_images(pack(folder, tmp_path / "s.tgz"))

    assert from_archive.fingerprint == from_folder.fingerprint
    np.testing.assert_array_equal(from_archive.test.images, from_folder.test.images)


def test_images_of_another_size_are_brought_to_the_network_s(tmp_path: Path) -> None:
    dataset = load_images(write_png_folder(tmp_path / "set", side=20, rgb=True))

    assert dataset.train.images.shape[1:] == (8, 8, 1)


def test_class_names_may_have_spaces(tmp_path: Path) -> None:
    folder = write_png_folder(tmp_path / "set")
    (folder / "labels.txt").write_text("bar\ncolumn\ndot\nred cube\n", encoding="utf-8")

    assert load_images(folder).classes[3] == "red cube"


def test_fingerprint_changes_with_one_pixel_and_with_one_label(tmp_path: Path) -> None:
    before = load_images(write_png_folder(tmp_path / "set"))
    images, labels = before.test.images.copy(), before.test.labels.copy()
    images[0, 0, 0, 0] ^= 1
    labels[0] = 2

    assert with_test(before, images, before.test.labels).fingerprint != before.fingerprint
    assert with_test(before, before.test.images, labels).fingerprint != before.fingerprint
    assert with_test(before, before.test.images, before.test.labels).fingerprint == (
        before.fingerprint
    )


def with_test(dataset: Dataset, images: ImageArray, labels: NDArray[np.int64]) -> Dataset:
    return replace(dataset, test=Split(images, labels))


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


def name_of(parameter: object) -> str:
    return getattr(parameter, "__name__", "")


PNG_DEFECTS = [
    (drop_labels, "has no labels.txt"),
    (drop_test, "has no images named test/N_class.png"),
    (add_unknown_class, r"classes \['sphere'\] of train/ are not in labels.txt"),
    (cut_image, "train/1_column.png: "),
    (replace_image, "test/2_dot.png: "),
    (repeat_class, "must name two classes or more, each once"),
]


@pytest.mark.parametrize(("damage", "message"), PNG_DEFECTS, ids=name_of)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_broken_png_set_is_refused_with_its_reason(
    tmp_path: Path, damage: Callable[[Path], None], message: str, packed: bool
) -> None:
    path = write_png_folder(tmp_path / "set")
    damage(path)
    if packed:
        path = pack(path, tmp_path / "set.tgz")

    with pytest.raises(DataError, match=message):
        load_images(path)


def test_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist \(--data\)"):
        load_images(tmp_path / "nowhere")


def test_own_images_have_no_download(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'images' has no public source"):
        load_dataset("images", None, SPEC)


@pytest.mark.parametrize("cut_at", [0, 30, 200], ids=["empty", "in the header", "in the data"])
def test_damaged_archive_is_refused(tmp_path: Path, cut_at: int) -> None:
    archive = pack(write_png_folder(tmp_path / "set"), tmp_path / "set.tgz")
    archive.write_bytes(archive.read_bytes()[:cut_at])

    with pytest.raises(DataError, match="no readable archive of PNG files"):
        load_images(archive)


def test_archive_with_changed_bytes_is_refused(tmp_path: Path) -> None:
    archive = pack(write_png_folder(tmp_path / "set", train=60), tmp_path / "set.tgz")
    raw = bytearray(archive.read_bytes())
    raw[200:260] = bytes(60)
    archive.write_bytes(raw)

    with pytest.raises(DataError):
        load_images(archive)


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gzipped"])
def test_idx_folder_is_read(tmp_path: Path, suffix: str) -> None:
    dataset = load_dataset("fashion_mnist", write_idx_folder(tmp_path / "set", suffix=suffix))

    assert dataset.classes == FASHION_MNIST_CLASSES
    assert dataset.train.images.shape == (6, 28, 28, 1)
    assert dataset.test.labels.tolist() == [0, 1, 2]
    assert dataset.test.labels.dtype == np.int64


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
    write_idx(folder / "train-images-idx3-ubyte", np.zeros((6, 32, 32), np.uint8))


def fewer_labels(folder: Path) -> None:
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(2, np.uint8))


def label_out_of_range(folder: Path) -> None:
    write_idx(folder / "t10k-labels-idx1-ubyte", np.array([0, 1, 10], np.uint8))


def no_images(folder: Path) -> None:
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((0, 28, 28), np.uint8))


def missing_file(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()


IDX_FOLDER_DEFECTS = [
    (other_size, r"train images have shape \(6, 32, 32\), must be \(N, 28, 28\)"),
    (fewer_labels, "3 test images but 2 labels"),
    (label_out_of_range, "test labels reach 10, must be below 10"),
    (no_images, r"test images have shape \(0, 28, 28\)"),
    (missing_file, "has neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"),
]


@pytest.mark.parametrize(("damage", "message"), IDX_FOLDER_DEFECTS, ids=name_of)
def test_broken_idx_set_is_refused_with_its_reason(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = write_idx_folder(tmp_path / "set")
    damage(folder)

    with pytest.raises(DataError, match=message):
        load_dataset("fashion_mnist", folder)


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
    packed = load_dataset("cifar10", real_sets / "cifar.tgz")
    with tarfile.open(real_sets / "cifar.tgz") as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = load_dataset("cifar10", tmp_path / "cifar")

    assert packed.classes == CIFAR10_CLASSES
    assert packed.train.images.shape == (50_000, 32, 32, 3)
    assert packed.test.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(packed.train.labels).tolist() == [5000] * 10
    assert np.bincount(packed.test.labels).tolist() == [1000] * 10
    assert packed.fingerprint == unpacked.fingerprint


@pytest.mark.data
def test_fashion_mnist_is_complete_and_balanced(real_sets: Path) -> None:
    dataset = load_dataset("fashion_mnist", real_sets / "fashion-mnist")

    assert dataset.train.images.shape == (60_000, 28, 28, 1)
    assert np.bincount(dataset.train.labels).tolist() == [6000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    assert dataset.fingerprint == (
        "sha256:ece172613115fb18b120bec8f6c02271af90b8b8f0a5af5c51cbd5ceed68e619"
    )
