from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.keras.training.conftest import with_fit
from training.config import RunConfig
from training.data import Dataset
from training.run_directory import RunDirectory
from training.train import TrainedNetwork, fit

pytestmark = pytest.mark.keras


class Stopped(Exception):
    pass


class StopAtEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Dies in the middle of an epoch, as a killed process does."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch
        self._current = -1

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._current = epoch

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if self._current == self._epoch and batch == 1:
            raise Stopped


def stop_and_resume(
    config: RunConfig, dataset: Dataset, path: Path, *, at: list[int]
) -> TrainedNetwork:
    for epoch in at:
        with pytest.raises(Stopped):
            fit(config, dataset, path, verbose=0, callbacks=[StopAtEpoch(epoch)])
    return fit(config, dataset, path, verbose=0)


@pytest.fixture(scope="module")
def whole_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(config: RunConfig, dataset: Dataset, whole_path: Path) -> TrainedNetwork:
    return fit(config, dataset, whole_path, verbose=0)


def test_stopped_and_resumed_run_ends_like_an_uninterrupted_one(
    config: RunConfig, dataset: Dataset, whole: TrainedNetwork, tmp_path: Path
) -> None:
    resumed = stop_and_resume(config, dataset, tmp_path, at=[0, 2])

    for one, other in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for before, after in zip(whole.history, resumed.history, strict=True):
        assert {**before, "duration_s": 0} == {**after, "duration_s": 0}


def test_history_has_every_epoch_once(whole: TrainedNetwork, whole_path: Path) -> None:
    assert [record["epoch"] for record in whole.history] == [1, 2, 3, 4]
    assert RunDirectory(whole_path).history() == whole.history
    assert whole.duration_s == pytest.approx(sum(r["duration_s"] for r in whole.history))


def test_line_of_an_epoch_whose_checkpoint_was_lost_is_dropped(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        fit(config, dataset, tmp_path, verbose=0, callbacks=[StopAtEpoch(1)])
    run = RunDirectory(tmp_path)
    run.write_history([*run.history(), {**run.history()[0], "epoch": 2, "loss": 99.0}])

    trained = fit(config, dataset, tmp_path, verbose=0)

    assert [record["epoch"] for record in trained.history] == [1, 2, 3, 4]
    assert 99.0 not in [record["loss"] for record in trained.history]


def test_finished_run_is_not_trained_again(
    config: RunConfig, dataset: Dataset, whole: TrainedNetwork, whole_path: Path
) -> None:
    before = RunDirectory(whole_path).checkpoint.read_bytes()

    again = fit(config, dataset, whole_path, verbose=0)

    assert again.history == whole.history
    assert RunDirectory(whole_path).checkpoint.read_bytes() == before
    np.testing.assert_array_equal(again.model.get_weights()[0], whole.model.get_weights()[0])


def test_learning_rate_rises_to_its_peak_and_falls_to_nothing(whole: TrainedNetwork) -> None:
    rates = [record["learning_rate"] for record in whole.history]

    assert rates[0] == pytest.approx(2e-3)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_resumed_run_keeps_the_precision_it_began_with(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    mixed = with_fit(config, precision="mixed_bfloat16", epochs=2)

    trained = stop_and_resume(mixed, dataset, tmp_path, at=[1])

    assert trained.precision == "mixed_bfloat16"


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_other_optimisers_learn_at_a_constant_rate(
    name: str, config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    document = config.model_dump()
    document["optimizer"] = {"name": name, "learning_rate": 1e-2}
    document["schedule"] = {"name": "constant"}
    document["fit"]["epochs"] = 2

    trained = fit(RunConfig.model_validate(document), dataset, tmp_path, verbose=0)

    assert [record["learning_rate"] for record in trained.history] == pytest.approx([1e-2, 1e-2])
    assert np.isfinite([record["loss"] for record in trained.history]).all()
