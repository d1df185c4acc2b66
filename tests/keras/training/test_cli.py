"""``keraserve-train run`` from a folder of images to a published version."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.artifacts.checksums import verify_files
from app.artifacts.manifest import read_manifest
from app.artifacts.samples import read_samples
from app.errors import ArtifactError
from training.cli import main

pytestmark = pytest.mark.keras

CONFIG = """
name = "shapes"
[data]
dataset = "images"
input = {{ height = 28, width = 28, channels = 1 }}
[architecture]
name = "fashion_mnist_cnn"
[optimizer]
learning_rate = {rate}
[fit]
epochs = {epochs}
batch_size = 32
precision = "float32"
[gate]
min_test_accuracy = {gate}
[publish]
samples = "{samples}"
"""

WEAK = {"epochs": 1, "gate": 1.0, "rate": 1e-9}
"""Learns nothing."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


def command(place: Path, images_path: Path, *more: str, **changes: Any) -> list[str]:
    """Write a configuration and return the words that run it."""
    settings = {"epochs": 4, "gate": 0.6, "rate": 2e-3, "samples": "labelled", **changes}
    (place / "shapes.toml").write_text(CONFIG.format(**settings))
    return [
        "run", str(place / "shapes.toml"), "--data", str(images_path),
        "--models-dir", str(place / "models"), "--runs-dir", str(place / "runs"), *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def version(workspace: Path, images_path: Path) -> Path:
    """One published version, looked at by several tests."""
    assert main(command(workspace, images_path)) == 0
    return workspace / "models" / "shapes" / "1"


def test_published_version_is_whole(version: Path) -> None:
    manifest = read_manifest(version)

    verify_files(version, manifest)
    assert manifest.architecture == "fashion_mnist_cnn"
    assert manifest.classes == ("bar", "column", "dot")
    assert manifest.gate.passed
    assert set(manifest.files) >= {"model.keras", "samples.npz", "report/report.html"}
    assert "report/sample_predictions.png" in manifest.files


def test_manifest_has_the_facts_to_repeat_the_run_and_no_path_of_this_machine(
    version: Path, images_path: Path
) -> None:
    record = read_manifest(version).training

    assert record.command == "keraserve-train run shapes.toml --data PATH"
    assert record.dataset_fingerprint.startswith("sha256:")
    assert record.config["fit"]["precision"] == "float32"
    assert record.duration_s > 0
    assert set(record.libraries) == {"python", "tensorflow", "keras", "numpy"}
    for path in (version, images_path):
        assert str(path.parent) not in (version / "manifest.json").read_text()
        assert str(path.parent) not in (version / "report" / "report.html").read_text()


def test_metrics_are_flat_and_agree_with_the_samples(version: Path) -> None:
    metrics, samples = read_manifest(version).metrics, read_samples(version / "samples.npz")

    assert set(metrics) == {
        "test_accuracy",
        "test_top5_accuracy",
        "test_loss",
        "test_expected_calibration_error",
        "train_accuracy",
    }
    assert samples.labels is not None
    right = samples.probabilities.argmax(axis=1) == samples.labels  # all 60 test images
    assert metrics["test_accuracy"] == pytest.approx(right.mean())


def test_published_network_reproduces_its_samples_without_optimiser(version: Path) -> None:
    network = keras.models.load_model(version / "model.keras", safe_mode=True)
    samples = read_samples(version / "samples.npz")

    scores = network(samples.images, training=False).numpy()

    np.testing.assert_allclose(scores, samples.probabilities, atol=1e-5)
    assert getattr(network, "optimizer", None) is None
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}


def test_run_gives_its_space_back_and_the_same_command_trains_the_next_version(
    version: Path, workspace: Path, images_path: Path
) -> None:
    (run,) = (workspace / "runs").iterdir()
    assert json.loads((run / "published.json").read_text()) == {"version": 1}
    assert not list(run.glob("*.keras"))

    assert main(command(workspace, images_path)) == 0

    again = read_manifest(version.with_name("2"))
    assert again.training.config == read_manifest(version).training.config
    assert json.loads((run / "published.json").read_text()) == {"version": 2}


def test_weak_network_exits_3_and_can_be_forced_without_training_again(
    images_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(tmp_path, images_path, **WEAK, samples="generated")

    assert main(words) == 3

    output = capsys.readouterr()
    assert "is below 1.0000 (gate.min_test_accuracy); --force" in output.err.splitlines()[-1]
    assert "/step" in output.out
    with pytest.raises(ArtifactError):
        read_manifest(tmp_path / "models" / "shapes" / "1")

    assert main([*words, "--force"]) == 0

    assert "/step" not in capsys.readouterr().out
    manifest = read_manifest(tmp_path / "models" / "shapes" / "1")
    assert (manifest.gate.passed, manifest.gate.forced) == (False, True)
    assert read_samples(tmp_path / "models" / "shapes" / "1" / "samples.npz").labels is None
    assert "report/sample_predictions.png" not in manifest.files


def test_stopped_run_exits_130_and_says_how_to_go_on(images_path: Path, tmp_path: Path) -> None:
    words = command(tmp_path, images_path, epochs=500)

    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "training.cli", *words, "--fresh"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Epoch 3/"):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    last = errors.splitlines()[-1]
    assert "of 500 epochs are done, to go on: keraserve-train run" in last
    assert "--fresh" not in last
    assert "Traceback" not in errors
    (run,) = (tmp_path / "runs").iterdir()
    assert len((run / "history.jsonl").read_text().splitlines()) >= 2
    assert (run / "checkpoint.keras").is_file()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"fashion_mnist_cnn"', '"resnet"', "architecture.name: 'resnet' is none of"),
        ("height = 28", "height = 28.5", "data.input.height: Input should be a valid integer"),
    ],
    ids=["unknown network", "bad value"],
)
def test_unusable_configuration_exits_2_with_one_line(
    old: str,
    new: str,
    message: str,
    images_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = command(tmp_path, images_path)
    config = tmp_path / "shapes.toml"
    config.write_text(config.read_text().replace(old, new))

    assert main(words) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_missing_data_exits_2_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, tmp_path / "nowhere")) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("nowhere does not exist (--data)")


def test_run_begun_with_other_images_is_not_continued(
    images_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(tmp_path, images_path, **WEAK)
    assert main(words) == 3
    (run,) = (tmp_path / "runs").iterdir()
    (run / "dataset.json").write_text('{"fingerprint": "sha256:other"}')

    assert main(words) == 2

    assert "was begun with the data set sha256:other" in capsys.readouterr().err
