from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.keras.training.conftest import changed, stop_and_resume
from training.config import RunConfig
from training.data.dataset import Dataset
from training.fitting.optimizers import make_optimizer
from training.fitting.run_directory import RunDirectory
from training.fitting.train import fit

pytestmark = pytest.mark.keras

NAMES = {
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
}


def plain(config: RunConfig, **optimizer: object) -> RunConfig:
    """At a constant rate and without decay, which not every optimiser has."""
    return changed(
        config,
        optimizer={"weight_decay": 0.0, **optimizer},
        schedule={"name": "constant", "warmup_epochs": 0.0},
    )


@pytest.mark.parametrize("name", NAMES)
def test_optimiser_is_the_named_one_at_the_configured_rate_and_trains(
    name: str, config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    constant = changed(plain(config, name=name, learning_rate=0.015), fit={"epochs": 1})
    seen: list[np.ndarray] = []

    class KeepFirstWeights(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: object = None) -> None:
            seen.extend(self.model.get_weights())

    trained = fit(constant, dataset, RunDirectory(tmp_path), observers=[KeepFirstWeights()])

    assert type(trained.model.optimizer) is NAMES[name]
    assert trained.history[0]["learning_rate"] == pytest.approx(0.015)
    assert np.isfinite(trained.history[0]["loss"])
    for before, after in zip(seen, trained.model.get_weights(), strict=True):
        assert (before != after).any()


def test_sgd_has_nesterov_momentum(config: RunConfig) -> None:
    optimizer = make_optimizer(plain(config, name="sgd"), peak=0.1, epochs=1, steps=1)

    settings = optimizer.get_config()
    assert (settings["momentum"], settings["nesterov"]) == (0.9, True)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_decay_shrinks_kernels_and_leaves_biases_and_normalisations(
    name: str, config: RunConfig
) -> None:
    decaying = changed(plain(config, name=name), optimizer={"weight_decay": 0.5})
    optimizer = make_optimizer(decaying, peak=0.1, epochs=1, steps=1)
    weights = {
        part: keras.Variable(np.ones(2, np.float32), name=part)
        for part in ("kernel", "bias", "gamma", "beta")
    }
    optimizer.build(list(weights.values()))

    optimizer.apply([keras.ops.zeros(2)] * 4, list(weights.values()))

    values = {name: float(weight[0]) for name, weight in weights.items()}
    assert values == pytest.approx({"kernel": 0.95, "bias": 1, "gamma": 1, "beta": 1})


def rates(config: RunConfig, *, epochs: int, steps: int, **schedule: object) -> list[float]:
    """Learning rate of each step of a phase with a peak of 1."""
    scheduled = changed(config, schedule=schedule)
    optimizer = make_optimizer(scheduled, peak=1.0, epochs=epochs, steps=steps)
    found = []
    for step in range(epochs * steps + 1):
        optimizer.iterations.assign(step)
        found.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
    return found


def test_cosine_rises_linearly_and_falls_along_half_a_cosine(config: RunConfig) -> None:
    found = rates(config, epochs=10, steps=4, name="cosine", warmup_epochs=2.5)

    np.testing.assert_allclose(found[:11], np.arange(11) / 10, atol=1e-6)
    falling = 0.5 * (1 + np.cos(np.pi * np.arange(31) / 30))
    np.testing.assert_allclose(found[10:], falling, atol=1e-6)


def test_cosine_without_a_warm_up_begins_at_its_peak(config: RunConfig) -> None:
    found = rates(config, epochs=3, steps=2, name="cosine", warmup_epochs=0.0)

    assert found[0] == pytest.approx(1)
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(0, abs=1e-7)


def test_warm_up_takes_half_of_a_short_phase_at_most(config: RunConfig) -> None:
    assert np.argmax(rates(config, epochs=2, steps=8, name="cosine", warmup_epochs=3.0)) == 8


def test_plateau_reduces_the_rate_after_its_patience_and_a_stop_leaves_no_trace(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    # At this rate nothing improves by more than noise after the first epoch.
    still = changed(
        plain(config, learning_rate=1e-9),
        schedule={"name": "plateau", "factor": 0.5, "patience_epochs": 2},
        fit={"epochs": 7},
    )
    expected = np.array([1, 1, 1, 0.5, 0.5, 0.25, 0.25]) * 1e-9

    trained = stop_and_resume(still, dataset, tmp_path, at=[4])

    np.testing.assert_allclose(
        [record["learning_rate"] for record in trained.history], expected, rtol=1e-5
    )
