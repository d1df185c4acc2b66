"""``keraserve-train upgrade`` where it publishes nothing; where it does is in ``tests/keras``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.artifacts.checksums import folder_records
from app.artifacts.layout import SAMPLES
from app.artifacts.manifest import read_manifest
from app.artifacts.samples import write_samples
from tests.factories.datasets import CLASSES, write_png_folder
from tests.factories.statistics import make_statistics
from tests.factories.versions import Defect, edit_manifest, make_samples, make_version
from training.cli import main
from training.config import RunConfig
from training.data.loading import load_dataset

CONFIG: dict[str, Any] = {
    "name": "shapes",
    "data": {"dataset": "images", "input": {"height": 8, "width": 8, "channels": 3}},
    "architecture": {"name": "fashion_mnist_cnn"},
    "fit": {"epochs": 1, "seed": 5},
}


def upgrade(store: Path, version: str, *more: str) -> int:
    return main(["upgrade", version, "--models-dir", str(store), *more])


def trained(store: Path, fingerprint: str, config: dict[str, Any]) -> Path:
    """A version whose record is that of a run; its network is none."""
    folder = make_version(store, "shapes")
    record = read_manifest(folder).training.model_dump(mode="json")
    record |= {"dataset": "images", "dataset_fingerprint": fingerprint, "config": config, "seed": 5}
    size = {"height": 8, "width": 8, "channels": 3}
    edit_manifest(folder, training=record, classes=CLASSES, input=size)
    return folder


def imported(store: Path, *, labelled: bool = True, is_exported: bool = False) -> Path:
    folder = make_version(store, "theirs", is_exported=is_exported)
    manifest = read_manifest(folder)
    write_samples(folder / SAMPLES, make_samples(manifest, labelled=labelled))
    records = {path: record.model_dump() for path, record in folder_records(folder).items()}
    record = manifest.training.model_dump(mode="json") | {"dataset": "imported"}
    edit_manifest(folder, training=record, files=records)
    return folder


def described(store: Path) -> None:
    folder = make_version(store, "theirs", is_exported=True)
    edit_manifest(folder, statistics=make_statistics().model_dump(mode="json"))


def upgraded_before(store: Path) -> None:
    """Version 1 with its upgrade, and a broken version on top."""
    imported(store)
    newer = make_version(
        store, "theirs", 2, is_exported=True, republished_from=1, statistics=make_statistics()
    )
    assert read_manifest(newer).republished_from == 1
    make_version(store, "theirs", 3, defect=Defect.BROKEN_MANIFEST)


@pytest.mark.parametrize("version", ["theirs:1", "theirs:2"])
def test_what_is_upgraded_already_is_not_published_again(
    version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upgraded_before(tmp_path)

    assert upgrade(tmp_path, version) == 0

    assert capsys.readouterr().out.startswith("nothing to upgrade: theirs:2 ")
    assert sorted(path.name for path in (tmp_path / "theirs").glob("[0-9]*")) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(described, "theirs:1 has all that this release puts", id="it is new enough"),
        pytest.param(
            lambda store: imported(store, labelled=False, is_exported=True),
            "theirs:1 was imported without samples whose classes are known",
            id="there is nothing to measure",
        ),
    ],
)
def test_nothing_to_upgrade_is_said_and_no_fault(
    make: Callable[[Path], object],
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path)

    assert upgrade(tmp_path, "theirs") == 0

    assert capsys.readouterr().out.startswith(f"nothing to upgrade: {reason}")
    assert sorted(path.name for path in (tmp_path / "theirs").glob("[0-9]*")) == ["1"]


def test_unknown_version_exits_2_and_says_which_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path)

    assert upgrade(tmp_path, "theirs:7") == 2

    assert "has no version 7 of theirs, it has 1" in capsys.readouterr().err


def test_damaged_version_is_not_published_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_version(tmp_path, "theirs", defect=Defect.WRONG_SHA256)

    assert upgrade(tmp_path, "theirs") == 2

    assert "model.keras" in capsys.readouterr().err


def test_other_data_than_those_of_the_training_are_refused_with_both_fingerprints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_png_folder(tmp_path / "data", train=60, test=30, side=8, rgb=True)
    config = RunConfig.model_validate(CONFIG)
    recorded = config.model_dump(mode="json", exclude_none=True)
    trained(tmp_path / "models", "sha256:0123", recorded)

    assert upgrade(tmp_path / "models", "shapes", "--data", str(data)) == 2

    line = capsys.readouterr().err
    assert "shapes:1 was trained on sha256:0123" in line
    assert f"this data set is {load_dataset(config.data, data, seed=5).fingerprint}" in line


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param(CONFIG, "before validation images were kept apart", id="none held out"),
        pytest.param({"epochs": 3}, "no telling which images it learnt from", id="another record"),
    ],
)
def test_version_whose_held_out_images_nobody_knows_is_refused(
    config: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, "sha256:0", config)

    assert upgrade(tmp_path, "shapes", "--data", str(tmp_path)) == 2

    assert reason in capsys.readouterr().err


def test_data_for_an_imported_version_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path)

    assert upgrade(tmp_path, "theirs", "--data", str(tmp_path)) == 2

    assert "its own samples describe it" in capsys.readouterr().err


def test_folder_outside_any_store_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path).rename(tmp_path / "copy")

    assert upgrade(tmp_path / "models", str(tmp_path / "copy")) == 2

    assert "holds theirs:1 and is not in a store, theirs/1" in capsys.readouterr().err
