from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from tests.factories.datasets import write_class_folders
from tests.unit.training.data.reading import read_own

PARTS = {"train": 5, "val": 3, "test": 3}
MESSAGE = "the same images are in several parts"


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.message.startswith(MESSAGE)]


def test_images_in_several_parts_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_class_folders(tmp_path / "set", parts=PARTS, size=12)
    circles = sorted((folder / "train" / "circle").iterdir())
    for name, part in ((circles[0], "test"), (circles[1], "test"), (circles[2], "val")):
        shutil.copy(name, folder / part / "circle" / f"copy_of_{name.name}")
    shutil.copy(
        folder / "val" / "square" / "square_0000.jpg", folder / "test" / "square" / "same.jpg"
    )

    read_own(folder)

    (record,) = warnings_of(caplog)
    assert vars(record)["test_in_train"] == 2
    assert vars(record)["validation_in_train"] == 1
    assert vars(record)["test_in_validation"] == 1


def test_copies_that_the_split_tears_apart_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=10, size=12)
    for file in [*folder.rglob("*.jpg")]:
        shutil.copy(file, file.with_name(f"copy_of_{file.name}"))

    dataset = read_own(folder, validation_share=0.2, test_share=0.2)

    (record,) = warnings_of(caplog)
    assert 0 < vars(record)["test_in_train"] <= len(dataset.test)


def test_different_images_give_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_own(write_class_folders(tmp_path / "set", parts=PARTS, size=12))

    assert warnings_of(caplog) == []
