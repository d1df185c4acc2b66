"""Batches divided over several devices: two virtual ones, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.keras.training.conftest import changed
from training.config import RunConfig
from training.fitting.run_directory import EpochRecord

pytestmark = [pytest.mark.keras, pytest.mark.timeout(600)]

# Devices must be divided before TensorFlow is used, so this cannot be done in the tests' process.
PROGRAM = """
import json
import sys
from pathlib import Path

import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import numpy as np

from tests.keras.training.conftest import Stopped, StopAtEpoch
from training.config import RunConfig
from training.data.loading import load_dataset
from training.evaluation.evaluate import accuracy_and_loss, probabilities
from training.fitting.observers import observers
from training.fitting.run_directory import RunDirectory
from training.fitting.train import fit
from training.keras_networks import executable

config = RunConfig.model_validate_json(sys.argv[1])
dataset = load_dataset(config.data, Path(sys.argv[2]), seed=config.fit.seed)
place = Path(sys.argv[3])
replicas, sizes = [], set()


def strategy():
    made = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    replicas.append(made.num_replicas_in_sync)
    return made


def run(name, *extra):
    directory = RunDirectory(place / name)
    watching = [*observers(directory, config, dataset), *extra]
    return fit(config, dataset, directory, observers=watching, strategy=strategy())


whole = run("whole")
try:
    run("resumed", StopAtEpoch(2))
    raise SystemExit("was not stopped")
except Stopped:
    done = RunDirectory(place / "resumed").checkpoint()[1]
resumed = run("resumed")
single = fit(config, dataset, RunDirectory(place / "single"))
scores = probabilities(executable(whole.model), dataset.validation.images)


def largest(one, other):
    pairs = zip(one.model.get_weights(), other.model.get_weights(), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


print(json.dumps({
    "replicas": replicas,
    "done_when_stopped": done,
    "histories": [whole.history, resumed.history, single.history],
    "loss": accuracy_and_loss(scores, dataset.validation.labels)[1],
    "resumed_apart": largest(whole, resumed),
    "single_apart": largest(whole, single),
}))
"""


def train_on_two_devices(config: RunConfig, images_path: Path, place: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, config.model_dump_json(), str(images_path), str(place)],
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["replicas"] == [2, 2, 2]
    assert found["done_when_stopped"] == 2
    return found


def assert_alike(one: list[EpochRecord], other: list[EpochRecord]) -> None:
    assert [record["epoch"] for record in one] == [1, 2, 3]
    for key in ("loss", "accuracy", "val_loss", "learning_rate"):
        assert [record[key] for record in other] == pytest.approx(
            [record[key] for record in one], rel=1e-3, abs=1e-9
        )


@pytest.fixture
def short(config: RunConfig) -> RunConfig:
    """Without dropout: each device would drop units of its own, and no two runs be alike."""
    return changed(
        config,
        architecture={"options": {"conv_dropout": 0.0, "dense_dropout": 0.0}},
        optimizer={"average_momentum": 0.9},
        fit={"epochs": 3},
    )


def test_two_devices_train_validate_save_and_resume_as_one_does(
    short: RunConfig, images_path: Path, tmp_path: Path
) -> None:
    # 120 images: every batch has the same number on each device, as if there were one.
    even = changed(short, data={"validation_share": 0.2}, fit={"batch_size": 24})

    found = train_on_two_devices(even, images_path, tmp_path)

    whole, resumed, single = found["histories"]
    assert whole[-1]["val_loss"] == pytest.approx(found["loss"], rel=1e-4)
    assert_alike(whole, resumed)
    assert_alike(whole, single)
    assert found["resumed_apart"] < 1e-4
    assert found["single_apart"] < 1e-2  # the sums over a batch are taken in another order


def test_batch_that_cannot_be_divided_evenly_is_made_smaller(
    short: RunConfig, images_path: Path, tmp_path: Path
) -> None:
    # 135 images in batches of 67: each device is given 33, 33 and 1.
    found = train_on_two_devices(changed(short, fit={"batch_size": 67}), images_path, tmp_path)

    whole, resumed, _ = found["histories"]
    assert_alike(whole, resumed)
