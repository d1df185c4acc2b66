from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.artifacts.manifest import Manifest, ManifestInput
from app.errors import ArtifactError
from tests.factories.datasets import write_class_folders
from tests.factories.versions import make_manifest
from training.commands.subject import find_subject, read_history, recorded_config
from training.data.dataset import DataError


def imported(*classes: str) -> Manifest:
    record = make_manifest().training.model_copy(update={"dataset": "imported"})
    size = ManifestInput(height=8, width=8, channels=3)
    return make_manifest("theirs", classes=classes, input=size, training=record)


def test_version_of_another_release_cannot_be_evaluated() -> None:
    with pytest.raises(
        ArtifactError, match=r"cifar10:1 cannot be judged: .*which images it learnt from"
    ):
        recorded_config(make_manifest())


def test_imported_version_is_judged_by_any_data_in_the_order_of_its_own_classes(
    tmp_path: Path,
) -> None:
    folder = write_class_folders(
        tmp_path / "data", classes=("apple", "pear", "plum"), per_class=8, suffix="png", size=8
    )
    Image.new("RGB", (8, 8), "red").save(folder / "train" / "plum" / "one_more.png")

    subject = find_subject(imported("plum", "apple", "pear"), folder, other_data=False)

    dataset = subject.dataset
    assert dataset.classes == ("plum", "apple", "pear")
    assert np.bincount(dataset.test.labels).tolist() == [9, 8, 8]
    assert subject.notes[0].startswith("Imported: nothing is known of the images")


def test_classes_without_names_are_the_ids_of_an_imported_version(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "set.npz"
    np.savez(path, x_train=images, y_train=np.arange(40) % 2)

    subject = find_subject(imported("no", "yes"), path, other_data=False)

    assert subject.dataset.classes == ("no", "yes")


def test_imported_version_is_not_judged_by_other_classes(tmp_path: Path) -> None:
    folder = write_class_folders(
        tmp_path / "data", classes=("apple", "pear"), per_class=8, suffix="png", size=8
    )

    with pytest.raises(DataError, match="has the classes apple, pear; theirs:1 knows apple, plum"):
        find_subject(imported("apple", "plum"), folder, other_data=True)


def test_report_without_epochs_has_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []


def test_numbers_as_names_are_compared_as_names(tmp_path: Path) -> None:
    folder = write_class_folders(
        tmp_path / "data", classes=("0", "1", "2"), per_class=8, suffix="png", size=8
    )
    Image.new("RGB", (8, 8), "red").save(folder / "train" / "0" / "one_more.png")

    subject = find_subject(imported("1", "2", "0"), folder, other_data=False)

    assert np.bincount(subject.dataset.test.labels).tolist() == [8, 8, 9]


def test_all_images_judge_an_imported_version_where_none_are_set_aside(tmp_path: Path) -> None:
    folder = write_class_folders(
        tmp_path / "data", classes=("apple", "pear"), per_class=20, suffix="png", size=8
    )

    subject = find_subject(imported("apple", "pear"), folder, other_data=False)

    assert len(subject.dataset.test) == 40
