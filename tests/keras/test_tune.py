"""``keraserve tune`` with real engines in real processes, on the small network."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from app.cli import main
from app.registry.labels import set_label
from app.runtime.policy import EnginePolicy
from app.runtime.streams import JOINS_AT
from app.settings import ENV_PREFIX, load_settings
from app.tuning.goals import Goal
from app.tuning.measuring_process import MeasuringProcess
from app.tuning.records import Candidate
from app.tuning.report import Report
from app.tuning.tuning import tune_version
from tests.factories.versions import Defect, make_version
from tests.keras.server_process import ROOT

pytestmark = pytest.mark.keras

STORE = ROOT / "models"
SIZES = (1, 2, 4, 8, 16, 32, 64)
SHIPPED = max(STORE.glob("fashion_mnist/[0-9]*"), key=lambda folder: int(folder.name))


@dataclass(frozen=True)
class Slim:
    """A machine of before, with a serving installation: one engine, one precision."""

    has_gpu: bool = False
    has_tensorflow: bool = False
    has_openvino: bool = True
    has_bfloat16: bool = False
    has_tensorflow_bfloat16: bool = False
    has_jax: bool = False
    jax_gpu_capability: tuple[int, int] | None = None
    gpu_capability: tuple[int, int] | None = None


def stop_after_a_round(line: str) -> None:
    """Press Ctrl-C: the other rounds bring more of the same."""
    if line.startswith("round"):
        raise KeyboardInterrupt


def test_settings_that_are_recommended_are_those_of_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = EnginePolicy("openvino", "float32", SIZES, threads=1)

    found = tune_version(
        SHIPPED, "fashion_mnist:4", policy, Goal(), 100, stop_after_a_round, host=Slim()
    )

    names = [str(curve.candidate) for curve in found.findings.curves]
    assert names[:2] == ["openvino float32, 1 thread", "openvino float32"]
    for curve in found.findings.curves:
        assert tuple(point.batch_size for point in curve.points) == SIZES
        assert curve.memory_bytes > 50e6
        assert curve.rounds == 1
    report = Report(found, ENV_PREFIX)
    ElementTree.fromstring(report.as_picture())
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(report.as_environment())
    assert found.recommendation is not None
    written = load_settings().engine_policy()
    assert written.threads == found.recommendation.candidate.threads
    assert (written.engine, written.precision) == ("openvino", "float32")
    assert written.allowed_batch_sizes[-1] == int(
        next(s.value for s in found.recommendation.settings if s.name == "max_batch_size")
    )


def test_tensorflow_is_measured_as_well() -> None:
    process = MeasuringProcess(SHIPPED, Candidate("tensorflow", "float32", 1), (1, 4), 100)
    try:
        durations = process.measure(4, 0.1, 60)
    finally:
        process.close()

    assert process.batch_sizes == [1, 4]
    assert all(duration > 0 for duration in durations)
    assert process.memory_bytes > 100e6


@pytest.mark.parametrize(
    ("threads", "expected"), [(2, JOINS_AT), (1, 1)], ids=["two cores", "one has nothing to share"]
)
def test_a_process_tells_from_which_size_on_batches_share_the_cores(
    threads: int, expected: int
) -> None:
    candidate = Candidate("openvino", "float32", threads)
    process = MeasuringProcess(SHIPPED, candidate, (1, JOINS_AT), 100)
    process.close()
    assert process.shared_from == expected


def test_a_version_that_nothing_can_execute_ends_in_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stable version is taken, and is no network at all."""
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "models"
    make_version(store, version=1, is_exported=True)
    make_version(store, version=2, defect=Defect.WRONG_SIZE)
    set_label(store, "cifar10", "stable", 1)

    assert main(["tune", "--json", "found.json", "--write", "new.env"]) == 1

    shown = capsys.readouterr()
    assert shown.out.startswith("cifar10:1 on ")
    assert "openvino float32: model.xml cannot be loaded by OpenVINO" in shown.out
    assert "tensorflow float32: model.keras is no readable .keras file" in shown.out
    assert shown.out.endswith("Nothing could be measured.\n")
    assert json.loads(Path("found.json").read_text())["recommendation"] is None
    assert not Path("new.env").exists()
    assert not Path("keraserve-tune.svg").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_what_was_measured_is_printed_when_it_is_stopped(
    number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "app", "tune", "fashion_mnist", "--model-dir", str(STORE)]
    command += ["--plot", str(tmp_path / "x.svg"), "--json", str(tmp_path / "x.json")]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert any("images/s in batches of" in line for line in process.stderr)

    process.send_signal(number)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert out.startswith("fashion_mnist:")
    assert "Not all was measured: interrupted." in out
    assert f"{ENV_PREFIX}MAX_BATCH_SIZE=" in out
    ElementTree.parse(tmp_path / "x.svg")
    assert json.loads((tmp_path / "x.json").read_text())["ended_by"] == "interrupted"
