from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import keras
import pytest

from training.config import RunConfig
from training.data.dataset import Dataset
from training.fitting.run_directory import Origin
from training.fitting.train import TrainedNetwork
from training.publishing.provenance import clean_commit, repeatable_command, training_record

pytestmark = pytest.mark.keras


@pytest.mark.parametrize(
    ("source", "with_data", "command"),
    [
        ("cifar10", False, "keraserve-train run cifar10"),
        ("cifar10", True, "keraserve-train run cifar10 --data PATH"),
        ("/home/me/flowers.toml", True, "keraserve-train run flowers.toml --data PATH"),
        ("my flowers.toml", False, "keraserve-train run 'my flowers.toml'"),
    ],
)
def test_command_names_no_path_of_this_machine(source: str, with_data: bool, command: str) -> None:
    assert repeatable_command(source, with_data=with_data) == command


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("fit.epochs=5", "fit.epochs=5"),
        ("name=my flowers", "'name=my flowers'"),
        ("architecture.options.weights=/home/me/a b.h5", "'architecture.options.weights=a b.h5'"),
        ("architecture.options.weights=~/a.h5", "architecture.options.weights=a.h5"),
        ('architecture.options.weights="/home/me/a.h5"', "'architecture.options.weights=\"a.h5\"'"),
        (
            'architecture.options={weights="/home/me/a.h5", alpha=1}',
            "'architecture.options={weights=\"a.h5\", alpha=1}'",
        ),
    ],
    ids=["number", "spaces", "path", "home", "quoted path", "path in a table"],
)
def test_command_carries_the_overrides_without_folders(override: str, word: str) -> None:
    command = repeatable_command("cifar10", [override, "fit.seed=2"], with_data=True)

    assert command == f"keraserve-train run cifar10 --set {word} --set fit.seed=2 --data PATH"


def test_record_names_the_file_of_weights_and_its_content_but_not_its_folder(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    weights = tmp_path / "backbone.h5"
    weights.write_bytes(b"abc")
    options = {"alpha": 1.0, "weights": str(weights)}
    architecture = config.architecture.model_copy(update={"options": options})
    trained = TrainedNetwork(
        keras.Sequential(), [{"duration_s": 1.25}, {"duration_s": 2.0}], "mixed_bfloat16"
    )

    record = training_record(
        config.model_copy(update={"architecture": architecture}),
        dataset,
        trained,
        Origin(dataset.fingerprint, None, "2 cores"),
        "keraserve-train run shapes",
    )

    assert record.config["architecture"]["options"] == {
        "alpha": 1.0,
        "weights": "backbone.h5",
        "weights_sha256": hashlib.sha256(b"abc").hexdigest(),
    }
    assert str(tmp_path) not in record.model_dump_json()
    assert record.config["fit"]["precision"] == "mixed_bfloat16"
    assert record.duration_s == 3.2


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "training"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "start")
    return package


def test_commit_of_a_clean_checkout_is_recorded(package: Path) -> None:
    (package / "notes.txt").write_text("untracked files change nothing")

    commit = clean_commit(package)

    assert commit is not None
    assert len(commit) == 40


def test_changed_checkout_has_no_commit(package: Path) -> None:
    (package / "__init__.py").write_text("changed = True")

    assert clean_commit(package) is None


def test_package_inside_somebody_else_s_repository_has_no_commit(package: Path) -> None:
    installed = package.parent / "venv" / "training"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")

    assert clean_commit(installed) is None


def test_package_under_no_version_control_has_no_commit(tmp_path: Path) -> None:
    assert clean_commit(tmp_path) is None
