from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.keras.training.conftest import (
    StopAtEpoch,
    Stopped,
    assert_same,
    changed,
    stop_and_resume,
)
from training.config import RunConfig
from training.data.dataset import Dataset
from training.evaluation.evaluate import accuracy_and_loss, probabilities
from training.fitting.callbacks import TrainingDivergedError
from training.fitting.run_directory import RunDirectory
from training.fitting.train import TrainedNetwork, fit
from training.keras_networks import executable

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def whole_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(config: RunConfig, dataset: Dataset, whole_path: Path) -> TrainedNetwork:
    return fit(config, dataset, RunDirectory(whole_path))


def test_stopped_and_resumed_run_ends_like_an_uninterrupted_one(
    config: RunConfig, dataset: Dataset, whole: TrainedNetwork, tmp_path: Path
) -> None:
    resumed = stop_and_resume(config, dataset, tmp_path, at=[0, 2])

    assert_same(whole, resumed)


def test_history_has_every_epoch_once(whole: TrainedNetwork, whole_path: Path) -> None:
    assert [record["epoch"] for record in whole.history] == [1, 2, 3, 4]
    assert RunDirectory(whole_path).history() == whole.history
    assert whole.duration_s == pytest.approx(sum(r["duration_s"] for r in whole.history))


def test_line_of_an_epoch_whose_checkpoint_was_lost_is_dropped(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path)
    with pytest.raises(Stopped):
        fit(config, dataset, run, observers=[StopAtEpoch(1)])
    run.write_history([*run.history(), {**run.history()[0], "epoch": 2, "loss": 99.0}])

    trained = fit(config, dataset, run)

    assert [record["epoch"] for record in trained.history] == [1, 2, 3, 4]
    assert 99.0 not in [record["loss"] for record in trained.history]


def test_finished_run_is_not_trained_again(
    config: RunConfig, dataset: Dataset, whole: TrainedNetwork, whole_path: Path
) -> None:
    (path,) = whole_path.glob("checkpoint-*.keras")
    before = path.read_bytes()

    again = fit(config, dataset, RunDirectory(whole_path))

    assert again.history == whole.history
    assert path.read_bytes() == before
    np.testing.assert_array_equal(again.model.get_weights()[0], whole.model.get_weights()[0])


def test_learning_rate_rises_to_its_peak_and_falls_to_nothing(whole: TrainedNetwork) -> None:
    rates = [record["learning_rate"] for record in whole.history]

    assert rates[0] == pytest.approx(2e-3)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_resumed_run_keeps_the_precision_it_began_with(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    mixed = changed(config, fit={"precision": "mixed_bfloat16", "epochs": 2})

    trained = stop_and_resume(mixed, dataset, tmp_path, at=[1])

    assert trained.precision == "mixed_bfloat16"


def test_second_run_with_the_seed_gives_the_same_weights_and_another_seed_others(
    config: RunConfig, dataset: Dataset, whole: TrainedNetwork, tmp_path: Path
) -> None:
    assert_same(whole, fit(config, dataset, RunDirectory(tmp_path / "again")))

    other = fit(changed(config, fit={"seed": 4}), dataset, RunDirectory(tmp_path / "other"))

    assert (other.model.get_weights()[0] != whole.model.get_weights()[0]).any()


def test_resumed_run_leaves_the_same_weights_out_of_decay(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    # Strong enough that a bias that is decayed for one epoch shows.
    strong = changed(config, optimizer={"weight_decay": 5.0}, fit={"epochs": 2})

    resumed = stop_and_resume(strong, dataset, tmp_path / "resumed", at=[1])

    assert_same(fit(strong, dataset, RunDirectory(tmp_path / "whole")), resumed)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_averaged_weights_are_validated_and_returned_and_survive_a_stop(
    precision: str, config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    averaging = changed(
        config,
        optimizer={"average_momentum": 0.9},
        fit={"epochs": 3, "precision": precision},
    )
    run = RunDirectory(tmp_path / "whole")

    trained = fit(averaging, dataset, run)

    scores = probabilities(executable(trained.model), dataset.validation.images)
    accuracy, loss = accuracy_and_loss(scores, dataset.validation.labels)
    assert trained.history[-1]["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert trained.history[-1]["val_accuracy"] == pytest.approx(accuracy)
    checkpoint = run.checkpoint()
    assert checkpoint is not None
    latest = keras.models.load_model(checkpoint[0], compile=False)  # what training goes on with
    assert any(
        (one != other).any()
        for one, other in zip(latest.get_weights(), trained.model.get_weights(), strict=True)
    )
    assert_same(trained, stop_and_resume(averaging, dataset, tmp_path / "resumed", at=[0, 2]))


def test_mixup_and_label_smoothing_train_and_a_stop_leaves_no_trace(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    varied = changed(
        config,
        augmentation={"mixup_alpha": 0.2, "cutout_px": 6},
        fit={"epochs": 2, "label_smoothing": 0.1},
    )

    whole = fit(varied, dataset, RunDirectory(tmp_path / "whole"))

    assert np.isfinite([record["loss"] for record in whole.history]).all()
    assert_same(whole, stop_and_resume(varied, dataset, tmp_path / "resumed", at=[1]))


@pytest.mark.parametrize(
    ("layer", "what"), [("scores", "the loss is nan"), ("conv_1", r"\d+ weights are NaN")]
)
def test_diverged_run_says_what_helps_and_keeps_the_epoch_before(
    layer: str, what: str, config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path)
    with pytest.raises(Stopped):
        fit(config, dataset, run, observers=[StopAtEpoch(1)])
    before = run.checkpoint()

    with pytest.raises(TrainingDivergedError, match=what + r".* after epoch 2: .*learning_rate"):
        fit(config, dataset, run, observers=[Ruin(layer)])

    assert run.checkpoint() == before
    assert len(run.history()) == 1


class Ruin(keras.callbacks.Callback):  # type: ignore[misc]
    """Makes the weights of a layer NaN, as too high a learning rate does."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._layer = layer

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        kernel = self.model.get_layer(self._layer).kernel
        kernel.assign(np.full(kernel.shape, np.nan))
