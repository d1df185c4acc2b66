"""``keraserve-train run`` in a real process: killed, stopped with Ctrl-C, and gone on with."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

pytestmark = [pytest.mark.keras, pytest.mark.timeout(600)]

EPOCHS = 5
CONFIG = f"""
name = "shapes"
[data]
dataset = "images"
input = {{ height = 28, width = 28, channels = 1 }}
[architecture]
name = "fashion_mnist_cnn"
[augmentation]
flip = true
shift_px = 1
[optimizer]
name = "adamw"
learning_rate = 2e-3
weight_decay = 0.1
average_momentum = 0.9
[fit]
epochs = {EPOCHS}
batch_size = 32
precision = "float32"
seed = 3
[gate]
min_train_accuracy = 0
min_validation_accuracy = 0
min_test_accuracy = 0
[publish]
samples = "generated"
"""


@dataclass(frozen=True)
class Workspace:
    """A folder with a configuration, its runs and its versions."""

    path: Path
    images: Path

    def command(self) -> list[str]:
        config = self.path / "shapes.toml"
        config.write_text(CONFIG, encoding="utf-8")
        return [
            sys.executable, "-m", "training.cli", "run", str(config), "--data", str(self.images),
            "--runs-dir", str(self.path / "runs"), "--models-dir", str(self.path / "models"),
        ]  # fmt: skip

    @contextmanager
    def start(self) -> Iterator[subprocess.Popen[str]]:
        """Start the run; its standard error is read line by line."""
        process = subprocess.Popen(
            self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        with process:
            try:
                yield process
            finally:
                process.kill()  # where a test failed; otherwise it is gone

    def finish(self) -> tuple[list[str], list[np.ndarray]]:
        """Run to the end; return the log lines and the weights that were published."""
        done = subprocess.run(self.command(), capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr
        network = keras.models.load_model(self.path / "models" / "shapes" / "1" / "model.keras")
        return done.stderr.splitlines(), network.get_weights()

    @property
    def run(self) -> Path:
        (run,) = (self.path / "runs").iterdir()
        return run

    def history(self) -> list[dict[str, float]]:
        lines = (self.run / "history.jsonl").read_text(encoding="utf-8").splitlines()
        return [{**json.loads(line), "duration_s": 0} for line in lines]


def wait_for_epoch(process: subprocess.Popen[str], epoch: int) -> None:
    """Read the log until ``epoch`` is done and saved; the process's end ends the wait too."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith(f"epoch {epoch}/{EPOCHS} "):
            return
    raise AssertionError("".join(seen))


def epochs_in(lines: list[str]) -> list[int]:
    return [int(found[1]) for line in lines if (found := re.match(r"epoch (\d+)/", line))]


@dataclass(frozen=True)
class Outcome:
    history: list[dict[str, float]]
    weights: list[np.ndarray]


@pytest.fixture(scope="module")
def uninterrupted(images_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    workspace = Workspace(tmp_path_factory.mktemp("uninterrupted"), images_path)
    lines, weights = workspace.finish()
    assert epochs_in(lines) == [1, 2, 3, 4, 5]
    return Outcome(workspace.history(), weights)


def assert_ends_alike(workspace: Workspace, weights: list[np.ndarray], other: Outcome) -> None:
    assert len(workspace.history()) == EPOCHS
    assert workspace.history() == other.history
    for one, expected in zip(weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, expected)


def test_killed_run_goes_on_from_its_last_epoch_and_ends_like_an_uninterrupted_one(
    images_path: Path, tmp_path: Path, uninterrupted: Outcome
) -> None:
    workspace = Workspace(tmp_path, images_path)
    for epoch in (1, 3):  # killed twice, the second time after going on
        with workspace.start() as process:
            wait_for_epoch(process, epoch)
            process.kill()
            assert process.wait(timeout=60) == -signal.SIGKILL
    saved = len(list(workspace.run.glob("checkpoint-*.keras")))
    done = max(int(path.stem[-5:]) for path in workspace.run.glob("checkpoint-*.keras"))

    lines, weights = workspace.finish()

    assert saved in {1, 2}  # two, if it was killed between writing one and removing the other
    assert 3 <= done <= EPOCHS
    assert epochs_in(lines) == list(range(done + 1, EPOCHS + 1))
    assert_ends_alike(workspace, weights, uninterrupted)


def test_run_stopped_with_control_c_says_how_to_go_on_and_does(
    images_path: Path, tmp_path: Path, uninterrupted: Outcome
) -> None:
    workspace = Workspace(tmp_path, images_path)
    with workspace.start() as process:
        wait_for_epoch(process, 2)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130

    assert "Traceback" not in rest
    last = rest.splitlines()[-1]
    found = re.search(r"stopped; (\d) of 5 epochs are done, to go on: keraserve-train run", last)
    assert found is not None, last
    done = int(found[1])
    assert 2 <= done <= EPOCHS

    lines, weights = workspace.finish()

    assert epochs_in(lines) == list(range(done + 1, EPOCHS + 1))
    assert_ends_alike(workspace, weights, uninterrupted)


def test_second_process_on_the_same_run_is_refused(images_path: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, images_path)
    with workspace.start() as process:
        wait_for_epoch(process, 1)

        second = subprocess.run(workspace.command(), capture_output=True, text=True, timeout=300)

        assert second.returncode == 2
        assert "another process trains this run" in second.stderr.splitlines()[-1]
        assert process.poll() is None or process.returncode == 0  # it did not mind
