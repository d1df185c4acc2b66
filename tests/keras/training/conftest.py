"""A small data set and a small run; the Fashion-MNIST network, for the other one is slow."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.factories.datasets import write_png_folder
from training.config import RunConfig
from training.data.dataset import Dataset
from training.data.loading import load_dataset
from training.fitting.run_directory import RunDirectory
from training.fitting.train import TrainedNetwork, fit


@pytest.fixture(scope="session")
def images_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_png_folder(tmp_path_factory.mktemp("data") / "set", train=150, test=60, side=28)


@pytest.fixture(scope="session")
def dataset(images_path: Path, config: RunConfig) -> Dataset:
    return load_dataset(config.data, images_path, seed=config.fit.seed)


@pytest.fixture(scope="session")
def config() -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "shapes",
            "data": {"dataset": "images", "input": {"height": 28, "width": 28, "channels": 1}},
            "architecture": {"name": "fashion_mnist_cnn"},
            "augmentation": {"flip": True, "shift_px": 1},
            "optimizer": {"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3},
            "schedule": {"name": "cosine", "warmup_epochs": 1},
            "fit": {"epochs": 4, "batch_size": 32, "precision": "float32", "seed": 3},
            "gate": {"min_test_accuracy": 0.6},
        }
    )


def changed(config: RunConfig, **sections: dict[str, object]) -> RunConfig:
    """Return a configuration with other settings in some sections; the others of these stay."""
    document = config.model_dump()
    for section, settings in sections.items():
        document[section] |= settings
    return RunConfig.model_validate(document)


class Stopped(Exception):
    """Ends a fit in the middle of an epoch."""


class StopAtEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Dies in the middle of an epoch, counted from 0, as a killed process does."""

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
            fit(config, dataset, RunDirectory(path), observers=[StopAtEpoch(epoch)])
    return fit(config, dataset, RunDirectory(path))


def assert_same(one: TrainedNetwork, other: TrainedNetwork) -> None:
    """Both have the same weights and the same history, but for durations."""
    for weights, others in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)
    for before, after in zip(one.history, other.history, strict=True):
        assert {**before, "duration_s": 0} == {**after, "duration_s": 0}


@pytest.fixture(autouse=True)
def no_handlers_of_earlier_commands() -> None:
    """The command line writes to the stream of the test that called it, closed by now."""
    for name in ("training", "app"):
        logging.getLogger(name).handlers = []
