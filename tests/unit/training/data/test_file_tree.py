from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.factories.datasets import pack, write_class_folders, write_png_folder
from tests.unit.training.data.reading import read_own
from training.data.dataset import DataError

FEW = {"train": 4, "val": 2, "test": 2}


@pytest.mark.parametrize("ending", ["tgz", "zip"])
@pytest.mark.parametrize("parts", [FEW, {"": 8}], ids=["parts", "bare classes"])
def test_packed_class_folders_are_the_same_set(
    tmp_path: Path, ending: str, parts: dict[str, int]
) -> None:
    folder = write_class_folders(tmp_path / "set", parts=parts, size=12)

    packed = read_own(pack(folder, tmp_path / f"packed.{ending}"))

    assert packed.classes == ("circle", "square", "stripes")
    assert packed.fingerprint == read_own(folder).fingerprint


def test_archive_packed_from_inside_the_folder_is_read(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", parts=FEW, size=12)
    archive = tmp_path / "inside.tar"
    subprocess.run(["tar", "-cf", archive, "-C", folder, "."], check=True)

    assert read_own(archive).fingerprint == read_own(folder).fingerprint


def test_folder_above_the_set_may_be_named(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "above" / "set", parts=FEW, size=12)

    assert read_own(tmp_path / "above").fingerprint == read_own(folder).fingerprint


def test_order_on_disk_does_not_matter(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"": 6}, size=12)
    other = tmp_path / "other"
    for file in sorted(folder.rglob("*.jpg"), reverse=True):  # made in another order
        copy = other / file.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    with zipfile.ZipFile(tmp_path / "reverse.zip", "w") as archive:
        for file in sorted(folder.rglob("*.jpg"), reverse=True):
            archive.write(file, file.relative_to(folder))

    fingerprint = read_own(folder).fingerprint

    assert read_own(other).fingerprint == fingerprint
    assert read_own(tmp_path / "reverse.zip").fingerprint == fingerprint


def test_class_folders_may_be_links_and_may_lead_in_circles(tmp_path: Path) -> None:
    stored = write_class_folders(tmp_path / "stored", parts={"": 8}, size=12)
    linked = tmp_path / "set" / "train"
    linked.mkdir(parents=True)
    for name in ("circle", "square", "stripes"):
        (linked / name).symlink_to(stored / name, target_is_directory=True)
    (stored / "circle" / "up").symlink_to(stored / "circle", target_is_directory=True)

    assert read_own(tmp_path / "set").fingerprint == read_own(stored).fingerprint


def test_pipe_is_unreadable_instead_of_waited_for(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"": 10}, size=12)
    os.mkfifo(folder / "circle" / "pipe.jpg")

    dataset = read_own(folder)

    assert dataset.skipped == (
        "circle/pipe.jpg: The file cannot be read: no file, or a link to none.",
    )


@pytest.mark.parametrize("cut_at", [0, 30, 200], ids=["empty", "in the header", "in the data"])
def test_damaged_archive_is_refused(tmp_path: Path, cut_at: int) -> None:
    archive = pack(write_png_folder(tmp_path / "set"), tmp_path / "set.tgz")
    archive.write_bytes(archive.read_bytes()[:cut_at])

    with pytest.raises(DataError, match="no readable archive"):
        read_own(archive)


def test_archive_with_changed_bytes_is_refused(tmp_path: Path) -> None:
    archive = pack(write_png_folder(tmp_path / "set", train=60), tmp_path / "set.tgz")
    raw = bytearray(archive.read_bytes())
    raw[200:260] = bytes(60)
    archive.write_bytes(raw)

    with pytest.raises(DataError):
        read_own(archive)


def test_zip_with_changed_bytes_has_unreadable_images(tmp_path: Path) -> None:
    archive = pack(
        write_class_folders(tmp_path / "set", parts={"": 10}, size=24), tmp_path / "set.zip"
    )
    raw = bytearray(archive.read_bytes())
    start = raw.index(b"\xff\xd8\xff") + 300
    raw[start : start + 20] = bytes(20)
    archive.write_bytes(raw)

    dataset = read_own(archive)

    assert len(dataset.skipped) == 1
    assert "Bad CRC-32" in dataset.skipped[0]


def test_archive_keeps_every_pixel(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", parts=FEW, size=8, suffix="png")

    dataset = read_own(pack(folder, tmp_path / "set.zip"), channels=3)

    np.testing.assert_array_equal(dataset.test.images, read_own(folder, channels=3).test.images)
