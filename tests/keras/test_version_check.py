"""``keraserve models check``, and the same from training, on networks that load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.checksums import folder_records
from app.artifacts.manifest import Calibration, read_manifest
from app.artifacts.publish import write_manifest
from app.artifacts.samples import Samples, read_samples, write_samples
from app.cli import main
from training.publishing.gate import GateError
from training.publishing.service_check import check_in_service

SHIPPED = max((Path(__file__).parents[2] / "models" / "fashion_mnist").glob("[0-9]*"))

pytestmark = pytest.mark.keras


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A copy whose files may be changed."""
    folder = tmp_path / "models" / "fashion_mnist" / ".staging-9-abcd"
    shutil.copytree(SHIPPED, folder)
    return folder


def seal(folder: Path, **changes: object) -> None:
    """Have the manifest say that the files are as they should be."""
    manifest = read_manifest(folder)
    write_manifest(folder, manifest.model_copy(update={"files": folder_records(folder), **changes}))


def disturb(folder: Path, by: float) -> None:
    """Move the recorded probabilities of the first sample by ``by``; the first class stays."""
    samples = read_samples(folder / "samples.npz")
    probabilities = samples.probabilities.copy()
    first, last = probabilities[0].argmax(), probabilities[0].argmin()
    probabilities[0, [first, last]] += np.array([-by, by], np.float32)
    write_samples(folder / "samples.npz", Samples(samples.images, probabilities, samples.labels))
    seal(folder)


@pytest.fixture
def by_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERASERVE_ENGINE", "tensorflow")


@pytest.mark.parametrize(
    ("engine", "precision", "deviation"),
    [
        ("tensorflow", "float32", 1e-4),
        ("openvino", "float32", 1e-4),
        ("openvino", "bfloat16", 0.05),
    ],
)
def test_version_that_would_be_served_exits_0_with_what_was_found(
    version: Path,
    engine: str,
    precision: str,
    deviation: float,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERASERVE_ENGINE", engine)
    monkeypatch.setenv("KERASERVE_PRECISION", precision)
    assert main(["models", "check", str(version), "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert found["servable"].startswith("fashion_mnist:")
    assert (found["engine"], found["precision"]) == (engine, precision)
    assert (found["samples"], found["top1_agreement"]) == (64, 1)
    assert found["max_deviation"] < deviation

    assert main(["models", "check", str(version)]) == 0

    assert "100.00% of 64 samples get the recorded label" in capsys.readouterr().out


@pytest.mark.usefixtures("by_tensorflow")
def test_version_with_another_temperature_than_recorded_exits_1(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seal(version, calibration=Calibration(temperature=3, method="temperature_scaling"))

    assert main(["models", "check", str(version)]) == 1

    assert "largest deviation" in capsys.readouterr().out


@pytest.mark.usefixtures("by_tensorflow")
def test_file_that_holds_no_network_exits_1(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (version / "model.keras").write_bytes(b"weights")
    seal(version)

    assert main(["models", "check", str(version), "--json"]) == 1

    assert "model.keras is no readable .keras file" in json.loads(capsys.readouterr().out)["reason"]


def test_training_lets_a_version_pass_that_the_service_reproduces(version: Path) -> None:
    check_in_service(version)


def test_training_is_stricter_than_the_self_test(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disturb(version, by=1e-3)
    assert main(["models", "check", str(version)]) == 0

    with pytest.raises(
        GateError, match=r"deviate by 0\.001 from .*, the limit is 0\.0001; --force"
    ):
        check_in_service(version)
