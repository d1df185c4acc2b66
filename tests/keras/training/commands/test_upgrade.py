"""``keraserve-train upgrade`` on versions of a release that wrote no statistics."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.artifacts.checksums import verify_files
from app.artifacts.manifest import Manifest, read_manifest
from app.artifacts.statistics import ReferenceStatistics
from tests.factories.datasets import write_class_folders
from tests.factories.versions import edit_manifest
from tests.keras.training.foreign_networks import command as importing
from tests.keras.training.foreign_networks import make_network, save, write_labels
from training.cli import main

pytestmark = pytest.mark.keras

CONFIG = """\
name = "shapes"
[data]
dataset = "images"
input = { height = 28, width = 28, channels = 1 }
[architecture]
name = "fashion_mnist_cnn"
[fit]
epochs = 2
batch_size = 32
precision = "float32"
"""
CHANGED = {"version", "created_at", "statistics", "republished_from"}
"""What differs between a version and the same one published once more."""


def forget_statistics(folder: Path) -> ReferenceStatistics:
    """Make it a version of an older release; return what it had."""
    statistics = read_manifest(folder).statistics
    assert statistics is not None
    edit_manifest(folder, statistics=None)
    return statistics


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, images_path: Path) -> Path:
    """A store with ``shapes:1``, trained and published."""
    place = tmp_path_factory.mktemp("upgrade")
    (place / "shapes.toml").write_text(CONFIG)
    words = ["run", str(place / "shapes.toml"), "--data", str(images_path), "--force"]
    words += ["--models-dir", str(place / "models"), "--runs-dir", str(place / "runs")]
    assert main(words) == 0
    return place / "models"


@pytest.fixture(scope="module")
def recorded(store: Path) -> ReferenceStatistics:
    """The statistics that the run wrote; the version has them no more."""
    return forget_statistics(store / "shapes" / "1")


@pytest.fixture(scope="module")
def upgraded(store: Path, recorded: ReferenceStatistics, images_path: Path) -> Manifest:
    assert recorded.images > 0
    words = ["upgrade", "shapes", "--data", str(images_path), "--models-dir", str(store)]
    assert main(words) == 0
    return read_manifest(store / "shapes" / "2")


def test_upgraded_version_has_the_statistics_that_a_run_writes(
    upgraded: Manifest, recorded: ReferenceStatistics
) -> None:
    assert upgraded.statistics is not None
    found, expected = upgraded.statistics.model_dump(), recorded.model_dump()
    # The network was saved and loaded meanwhile; nothing else is computed anew.
    assert found.pop("mean_confidence") == pytest.approx(expected.pop("mean_confidence"), abs=1e-5)
    held_out, expected_held_out = found.pop("held_out"), expected.pop("held_out")
    assert found == expected
    assert held_out["images"] == expected_held_out["images"]
    assert held_out["mean_confidence"] == pytest.approx(
        expected_held_out["mean_confidence"], abs=1e-5
    )


def test_upgraded_version_is_the_old_one_in_all_else(store: Path, upgraded: Manifest) -> None:
    old = read_manifest(store / "shapes" / "1")

    verify_files(store / "shapes" / "2", upgraded)
    assert (upgraded.version, upgraded.republished_from) == (2, 1)
    assert upgraded.model_dump(exclude=CHANGED) == old.model_dump(exclude=CHANGED)
    assert old.statistics is None, "what is published never changes"


def test_upgrade_of_an_older_version_says_that_it_takes_over(
    store: Path,
    upgraded: Manifest,
    images_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = shutil.copytree(store, tmp_path / "models")
    edit_manifest(other / "shapes" / "2", republished_from=None)  # trained anew, as it were
    words = ["upgrade", "shapes:1", "--data", str(images_path), "--models-dir", str(other)]

    assert main(words) == 0

    said = capsys.readouterr()
    assert f"shapes:{upgraded.version} is newer; what is published now will take over" in said.err
    assert "the network of shapes:1, with statistics of" in said.out
    assert "no drift index of classes (135 of 200 images), confidence (15 of 200" in said.out


def test_what_was_republished_is_that_of_the_first_version(
    store: Path, upgraded: Manifest, images_path: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(store, tmp_path / "models")
    assert forget_statistics(other / "shapes" / "2") == upgraded.statistics
    words = ["upgrade", "shapes:2", "--data", str(images_path), "--models-dir", str(other)]

    assert main(words) == 0

    assert read_manifest(other / "shapes" / "3").republished_from == 1


def test_imported_version_is_described_by_its_labelled_samples(tmp_path: Path) -> None:
    write_labels(tmp_path)
    pictures = write_class_folders(tmp_path / "pictures", parts={"": 4}, size=16)
    source = save(make_network(), tmp_path, "keras")
    assert main(importing(tmp_path, source, "--samples", str(pictures), "--force")) == 0
    store = tmp_path / "models"
    expected = forget_statistics(store / "theirs" / "1")
    assert (expected.source, expected.images) == ("samples", 12)

    assert main(["upgrade", "theirs", "--models-dir", str(store)]) == 0

    assert read_manifest(store / "theirs" / "2").statistics == expected
