"""Early stopping, the frozen phase of transfer learning, and the plain epochs at the end."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from tests.keras.training.conftest import StopAtEpoch, Stopped, assert_same, changed
from training.architectures import ARCHITECTURES, BACKBONE, Architecture
from training.config import RunConfig
from training.data.dataset import Dataset
from training.evaluation.evaluate import accuracy_and_loss, probabilities
from training.fitting.course import best_epoch
from training.fitting.run_directory import RunDirectory
from training.fitting.train import TrainedNetwork, fit
from training.keras_networks import executable

pytestmark = pytest.mark.keras


class NothingIsTrained(keras.callbacks.Callback):  # type: ignore[misc]
    def on_train_begin(self, logs: object = None) -> None:
        raise AssertionError("training went on")


# ---- early stopping ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopping(config: RunConfig) -> RunConfig:
    """Too fast to settle: the loss rises again within a few epochs."""
    return changed(
        config,
        optimizer={"learning_rate": 0.02, "weight_decay": 0.0},
        schedule={"name": "constant", "warmup_epochs": 0.0},
        fit={"epochs": 30, "early_stopping_epochs": 2},
    )


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return RunDirectory(tmp_path_factory.mktemp("stopped"))


@pytest.fixture(scope="module")
def stopped(stopping: RunConfig, dataset: Dataset, stopped_run: RunDirectory) -> TrainedNetwork:
    return fit(stopping, dataset, stopped_run)


def test_early_stopping_ends_the_run_and_gives_the_weights_of_the_best_epoch(
    stopped: TrainedNetwork, dataset: Dataset
) -> None:
    losses = [record["val_loss"] for record in stopped.history]
    assert len(losses) < 30
    assert min(losses) not in losses[-2:]

    scores = probabilities(executable(stopped.model), dataset.validation.images)
    _, loss = accuracy_and_loss(scores, dataset.validation.labels)
    assert loss == pytest.approx(min(losses), rel=1e-5)
    assert losses[best_epoch(stopped.history) - 1] == min(losses)


def test_run_that_stopped_early_is_not_trained_further(
    stopping: RunConfig, dataset: Dataset, stopped: TrainedNetwork, stopped_run: RunDirectory
) -> None:
    again = fit(stopping, dataset, stopped_run, observers=[NothingIsTrained()])

    assert_same(stopped, again)


# ---- frozen backbone --------------------------------------------------------------------------


def build_tiny(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A network with a backbone, as those of ``keras.applications`` are built in, but small."""
    inner = keras.Input((*input_shape[:2], 1))
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(inner)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.1)(x)
    backbone = keras.Model(
        inner, layers.Conv2D(8, 3, strides=2, activation="relu")(x), name=BACKBONE
    )
    image = keras.Input(input_shape, dtype="uint8")  # (N, H, W, C) uint8, 0..255
    x = backbone(layers.Rescaling(1 / 255)(image), training=False)
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(classes, activation="softmax", name="scores")(x))


@pytest.fixture
def transfer(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.setitem(ARCHITECTURES, "tiny", Architecture(build_tiny, min_side=8))
    return changed(
        config,
        architecture={"name": "tiny"},
        optimizer={"average_momentum": 0.9},
        schedule={"warmup_epochs": 0.0},
        fit={"epochs": 4, "frozen_epochs": 2, "fine_tuning_rate": 0.1},
    )


class Weights(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the backbone's weights, and the rate, as they are before each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone: list[list[np.ndarray]] = []
        self.end: list[np.ndarray] = []
        self.rates: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.backbone.append(self.model.get_layer("backbone").get_weights())
        self.end.append(self.model.get_layer("scores").get_weights()[0])
        self.rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all((a == b).all() for a, b in zip(one, other, strict=True))


def test_frozen_backbone_keeps_its_weights_then_learns_and_a_stop_leaves_no_trace(
    transfer: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    seen = Weights()

    whole = fit(transfer, dataset, RunDirectory(tmp_path / "whole"), observers=[seen])

    first, second, third, fourth = seen.backbone
    assert same(first, second)
    assert same(second, third)
    assert not same(third, fourth)
    assert (seen.end[0] != seen.end[1]).any()
    assert seen.rates[0] == pytest.approx(2e-3)
    assert seen.rates[2] == pytest.approx(2e-4)

    # In the middle of the frozen phase, at the border, and in the middle of the second one.
    run = RunDirectory(tmp_path / "resumed")
    for epoch in (1, 2, 3):
        with pytest.raises(Stopped):
            fit(transfer, dataset, run, observers=[StopAtEpoch(epoch)])
    assert_same(whole, fit(transfer, dataset, run))


# ---- plain epochs -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(config: RunConfig) -> RunConfig:
    """Its labels are so smooth that their loss is far above that of plain ones."""
    return changed(
        config,
        augmentation={"mixup_alpha": 0.4},
        fit={"epochs": 4, "plain_epochs": 2, "label_smoothing": 0.9},
    )


@pytest.fixture(scope="module")
def plain_whole(
    plain: RunConfig, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> TrainedNetwork:
    return fit(plain, dataset, RunDirectory(tmp_path_factory.mktemp("plain")))


def test_plain_epochs_have_neither_mixup_nor_label_smoothing(
    plain: RunConfig, dataset: Dataset, plain_whole: TrainedNetwork, tmp_path: Path
) -> None:
    twin = changed(
        plain, augmentation={"mixup_alpha": 0.0}, fit={"label_smoothing": 0.0, "epochs": 4}
    )
    run = RunDirectory(tmp_path)
    with pytest.raises(Stopped):
        fit(plain, dataset, run, observers=[StopAtEpoch(2)])

    # The same state, gone on with by a configuration that never mixes nor smooths.
    assert_same(fit(twin, dataset, run), plain_whole)


@pytest.mark.parametrize("epoch", [2, 3], ids=["at its beginning", "in its middle"])
def test_run_that_was_stopped_in_the_plain_phase_ends_like_an_uninterrupted_one(
    plain: RunConfig, dataset: Dataset, plain_whole: TrainedNetwork, tmp_path: Path, epoch: int
) -> None:
    run = RunDirectory(tmp_path)
    with pytest.raises(Stopped):
        fit(plain, dataset, run, observers=[StopAtEpoch(epoch)])

    assert_same(fit(plain, dataset, run), plain_whole)
