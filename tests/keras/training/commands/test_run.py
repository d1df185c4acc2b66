"""``keraserve-train run`` from a folder of images to a published version."""

from __future__ import annotations

import json
import re
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
from app.runtime.policy import EngineName, EnginePolicy
from app.version_check import check_version
from training.cli import main
from training.commands.subject import recorded_config
from training.data.loading import load_dataset
from training.evaluation.calibration import apply_temperature

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
[publish]
samples = "{samples}"
"""

WEAK = {"epochs": 1, "rate": 1e-9}
"""Learns nothing."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


def command(place: Path, images_path: Path, *more: str, **changes: Any) -> list[str]:
    """Write a configuration and return the words that run it."""
    settings = {"epochs": 6, "rate": 2e-3, "samples": "labelled", **changes}
    (place / "shapes.toml").write_text(CONFIG.format(**settings))
    return [
        "run", str(place / "shapes.toml"), "--data", str(images_path),
        "--models-dir", str(place / "models"), "--runs-dir", str(place / "runs"), *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def version(workspace: Path, images_path: Path) -> Path:
    """One published version, looked at by several tests."""
    assert main(command(workspace, images_path, "--set", "gate.min_test_accuracy=0.75")) == 0
    return workspace / "models" / "shapes" / "1"


def test_published_version_is_whole(version: Path) -> None:
    manifest = read_manifest(version)

    verify_files(version, manifest)
    assert manifest.architecture == "fashion_mnist_cnn"
    assert manifest.classes == ("bar", "column", "dot")
    assert set(manifest.files) >= {"model.keras", "samples.npz", "report/report.html"}
    assert "report/sample_predictions.png" in manifest.files


def test_manifest_says_what_the_gate_asked_for(version: Path) -> None:
    gate = read_manifest(version).gate

    assert gate.passed
    assert {check.name: check.limit for check in gate.checks} == {
        "non_finite_weights": 0,
        "round_trip_deviation": 1e-5,
        "train_accuracy": 0.8,
        "validation_accuracy": 0.7,
        "test_accuracy": 0.75,
    }


def test_manifest_has_the_facts_to_repeat_the_run_and_no_path_of_this_machine(
    version: Path, images_path: Path
) -> None:
    record = read_manifest(version).training

    assert record.command == (
        "keraserve-train run shapes.toml --set gate.min_test_accuracy=0.75 --data PATH"
    )
    assert record.dataset_fingerprint.startswith("sha256:")
    assert record.config["fit"]["precision"] == "float32"
    assert record.config["gate"]["min_test_accuracy"] == 0.75
    assert record.duration_s > 0
    assert set(record.libraries) == {"python", "tensorflow", "keras", "numpy"}
    for path in (version, images_path):
        assert str(path.parent) not in (version / "manifest.json").read_text()
        assert str(path.parent) not in (version / "report" / "report.html").read_text()


def test_metrics_are_flat_and_agree_with_the_samples(version: Path) -> None:
    metrics, samples = read_manifest(version).metrics, read_samples(version / "samples.npz")

    assert set(metrics) >= {
        "test_accuracy",
        "test_expected_calibration_error",
        "test_expected_calibration_error_unscaled",
        "validation_accuracy",
        "train_accuracy",
    }
    assert samples.labels is not None
    right = samples.probabilities.argmax(axis=1) == samples.labels  # all 60 test images
    assert metrics["test_accuracy"] == pytest.approx(right.mean())


def test_manifest_describes_the_images_that_the_network_learnt_from(
    version: Path, images_path: Path
) -> None:
    statistics = read_manifest(version).statistics
    config = recorded_config(read_manifest(version))
    dataset = load_dataset(config.data, images_path, seed=config.fit.seed)

    assert statistics is not None
    assert statistics.images == len(dataset.train)
    assert statistics.channel_means == pytest.approx([dataset.train.images.mean()])
    assert statistics.held_out.images == len(dataset.validation)
    assert 1 / 3 < statistics.held_out.mean_confidence <= 1


def test_published_network_has_the_samples_probabilities_at_its_temperature_and_no_optimiser(
    version: Path,
) -> None:
    network = keras.models.load_model(version / "model.keras", safe_mode=True)
    samples, manifest = read_samples(version / "samples.npz"), read_manifest(version)

    scores = network(samples.images, training=False).numpy()

    served = apply_temperature(scores, manifest.calibration.temperature)
    np.testing.assert_allclose(served, samples.probabilities, atol=1e-5)
    assert getattr(network, "optimizer", None) is None
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_service_loads_the_version_and_computes_the_same(version: Path, engine: EngineName) -> None:
    found = check_version(version, EnginePolicy(engine, "float32"))

    assert found.engine == engine
    assert found.samples == 60
    assert found.top1_agreement == 1
    assert found.max_deviation < 1e-5


def test_same_command_trains_the_next_version_and_compares_it_with_the_first(
    version: Path, workspace: Path, images_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = (workspace / "runs").iterdir()
    assert json.loads((run / "published.json").read_text()) == {"version": 1}
    assert not list(run.glob("*.keras"))

    assert main(command(workspace, images_path, "--set", "gate.min_test_accuracy=0.75")) == 0

    printed = capsys.readouterr()
    assert printed.err.splitlines()[0] == (
        "images: 3 classes; 135 training, 15 validation and 60 test images (validation split off)"
    )
    output = printed.out.splitlines()
    folder = version.with_name("2")
    assert output[-1].startswith(f"published {folder}: test accuracy ")
    assert f"see {folder}/report/report.html; to serve it: keraserve serve" in output[-1]
    again, first = read_manifest(folder), read_manifest(version)
    assert again.training.config == first.training.config
    limits = {check.name: check.limit for check in again.gate.checks}
    assert limits["published_accuracy"] == pytest.approx(first.metrics["test_accuracy"] - 0.01)
    assert json.loads((run / "published.json").read_text()) == {"version": 2}


def test_run_learns_from_a_published_version_and_says_so(
    version: Path, workspace: Path, images_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = ["--set", "name=student", "--set", "distillation.teacher=shapes:1"]

    assert main(command(workspace, images_path, *student)) == 0

    assert "learning from a teacher  teacher=shapes:1" in capsys.readouterr().err
    record = read_manifest(version.parents[1] / "student" / "1").training
    sha256 = read_manifest(version).files["model.keras"].sha256
    assert record.config["distillation"] == {
        "teacher": "shapes:1",
        "teacher_sha256": sha256,
        "share": 0.7,
    }


def test_network_worse_than_the_published_one_is_refused(
    version: Path, workspace: Path, images_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    off = ["--set", "gate.min_train_accuracy=0", "--set", "gate.min_validation_accuracy=0"]
    before = sorted(version.parent.glob("[0-9]*"))

    assert main(command(workspace, images_path, *off, **WEAK)) == 3

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("keraserve-train: not published: test accuracy 0.")
    assert "what the published version reaches on the same images" in last
    assert "(gate.max_accuracy_drop); --force publishes it all the same" in last
    assert sorted(version.parent.glob("[0-9]*")) == before


def test_weak_network_exits_3_and_can_be_forced_without_training_again(
    images_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(tmp_path, images_path, **WEAK, samples="generated")

    assert main(words) == 3

    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"train accuracy 0\.\d{4} is below 0\.8000 \(gate\.min_train_accuracy\)", last)
    assert re.search(r"validation accuracy .* below 0\.7000 \(gate\.min_validation_acc", last)
    assert not list((tmp_path / "models").iterdir())
    (run,) = (tmp_path / "runs").iterdir()
    history = (run / "history.jsonl").stat().st_mtime_ns

    assert main([*words, "--force"]) == 0

    assert (run / "history.jsonl").stat().st_mtime_ns == history
    assert "forced (train accuracy 0." in capsys.readouterr().out.splitlines()[-1]
    manifest = read_manifest(tmp_path / "models" / "shapes" / "1")
    assert (manifest.gate.passed, manifest.gate.forced) == (False, True)
    assert read_samples(tmp_path / "models" / "shapes" / "1" / "samples.npz").labels is None
    assert not {"report/sample_predictions.png", "report/mistakes.png"} & set(manifest.files)


def test_diverged_training_exits_3_with_one_line_that_names_the_setting(
    images_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(tmp_path, images_path, epochs=3, rate=1e38)

    assert main(words) == 3

    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match("keraserve-train: not published: the loss is (nan|inf) after epoch 1: ", last)
    assert "Lower optimizer.learning_rate (it is 1e+38)" in last


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "training.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(300)
def test_two_trainings_at_once_publish_two_versions(images_path: Path, tmp_path: Path) -> None:
    words = command(tmp_path, images_path, epochs=1, rate=5e-5)  # still errs in every second image
    words += ["--force", "--set", "data.validation_share=0.4"]

    processes = [start([*words, "--set", f"fit.seed={seed}"]) for seed in (1, 2)]
    outputs = [process.communicate(timeout=240)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], outputs
    manifests = []
    for number in ("1", "2"):
        folder = tmp_path / "models" / "shapes" / number
        manifests.append(read_manifest(folder))
        verify_files(folder, manifests[-1])
    assert {manifest.training.seed for manifest in manifests} == {1, 2}
    # Publishing has let the service compute the samples with this temperature, to 1e-4.
    first = next(manifest for manifest in manifests if manifest.training.seed == 1)
    assert first.calibration.method == "temperature_scaling"
    assert first.calibration.temperature != 1


def test_stopped_run_exits_130_and_says_how_to_go_on(images_path: Path, tmp_path: Path) -> None:
    process = start([*command(tmp_path, images_path, epochs=500), "--fresh"])
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.match(r"epoch 3\b", line.lower()):
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)

    assert process.returncode == 130, "".join([*lines, rest])
    last = rest.splitlines()[-1]
    assert "of 500 epochs are done, to go on: keraserve-train run" in last
    assert "--fresh" not in last
    assert "Traceback" not in rest
    (run,) = (tmp_path / "runs").iterdir()
    assert len((run / "history.jsonl").read_text().splitlines()) >= 2
    assert list(run.glob("checkpoint-*.keras"))


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
    origin = json.loads((run / "origin.json").read_text())
    (run / "origin.json").write_text(json.dumps(origin | {"fingerprint": "sha256:other"}))

    assert main(words) == 2

    assert "was begun with the data set sha256:other" in capsys.readouterr().err
