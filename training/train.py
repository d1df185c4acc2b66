"""Fits one network as its configuration says; a stopped run goes on from its last epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.architectures import build_network
from training.batches import TrainingBatches
from training.config import OptimizerConfig, RunConfig
from training.data import Dataset
from training.hardware import preferred_precision
from training.run_directory import EpochRecord, RunDirectory, replace_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """What a finished fit leaves behind.

    Attributes:
        model: The network as trained, optimiser included.
        history: One record per epoch; ``accuracy`` is that of the augmented training images.
        precision: Keras dtype policy of the layers.
    """

    model: keras.Model
    history: list[EpochRecord]
    precision: str

    @property
    def duration_s(self) -> float:
        """Seconds spent in epochs, over all sessions of a resumed run."""
        return sum(record["duration_s"] for record in self.history)


class EpochChance(keras.callbacks.Callback):  # type: ignore[misc]
    """Before every epoch: puts all sources of chance where that epoch must start.

    Keras does not save the state of dropout's generators, so a resumed run would drop the units
    of its first epochs again. Set from ``(seed, epoch, layer)``, stopping leaves no trace.
    """

    def __init__(self, batches: TrainingBatches, seed: int) -> None:
        """Steer ``batches`` and the layers of the model that is fitted."""
        super().__init__()
        self._batches = batches
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the order of the images, and what each dropout layer draws next."""
        self._batches.begin_epoch(epoch)
        for index, layer in enumerate(self.model.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                draw = np.random.default_rng([self._seed, epoch, index]).integers(2**31)
                generator.state.assign([draw, 0])  # as a new SeedGenerator: [seed, draws so far]


class EpochCheckpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """After every epoch: one more line of history, then the whole training state.

    In that order, and the state by one rename: killed in between, the run repeats an epoch and
    the surplus line is cut off at resume; nothing is ever half-written.
    """

    def __init__(self, run: RunDirectory, history: list[EpochRecord]) -> None:
        """Append to ``history``, which holds the records of earlier sessions."""
        super().__init__()
        self._run = run
        self._history = history
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's stop-watch."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record and save."""
        record = {"epoch": epoch + 1, **{key: float(value) for key, value in (logs or {}).items()}}
        record["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        record["duration_s"] = round(time.monotonic() - self._started, 3)
        self._history.append(record)
        self._run.write_history(self._history)
        replace_file(self._run.checkpoint, self.model.save)


def fit(
    config: RunConfig,
    dataset: Dataset,
    run_dir: Path,
    *,
    verbose: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainedNetwork:
    """Train, or go on training, until ``config.fit.epochs`` epochs are done.

    Args:
        config: The run.
        dataset: What it learns from.
        run_dir: Where its state lives; a state that is there is continued.
        verbose: As in ``keras.Model.fit``: 1 draws bars, 2 prints a line per epoch.
        callbacks: More observers; they see an epoch's end when it is saved.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    run = RunDirectory(run_dir)
    keras.utils.set_random_seed(config.fit.seed)
    steps = -(-len(dataset.train) // config.fit.batch_size)

    model, done = _restore(run, steps)
    history = run.history()[:done]
    if model is None:
        model = _build(config, dataset, steps)
    else:
        logger.info("resuming", extra={"run": str(run_dir), "epochs_done": done})
    if done < config.fit.epochs:
        batches = TrainingBatches(
            dataset.train,
            config.augmentation,
            batch_size=config.fit.batch_size,
            seed=config.fit.seed,
        )
        model.fit(
            batches,
            epochs=config.fit.epochs,
            initial_epoch=done,
            callbacks=[
                EpochChance(batches, config.fit.seed),
                EpochCheckpoint(run, history),
                *callbacks,
            ],
            shuffle=False,  # TrainingBatches shuffles, in a way that a resumed run can repeat
            verbose=verbose,
        )
    return TrainedNetwork(model, history, _precision(model))


def _build(config: RunConfig, dataset: Dataset, steps: int) -> keras.Model:
    precision = preferred_precision() if config.fit.precision == "auto" else config.fit.precision
    model = build_network(
        config.architecture, dataset.spec.shape, len(dataset.classes), precision=precision
    )
    model.compile(
        optimizer=_optimizer(config.optimizer, _learning_rate(config, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def _learning_rate(config: RunConfig, steps: int) -> Any:
    peak, schedule = config.optimizer.learning_rate, config.schedule
    warmup_steps = round(schedule.warmup_epochs * steps)
    if schedule.name == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else peak,
            decay_steps=config.fit.epochs * steps - warmup_steps,
            warmup_target=peak if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    return peak


def _optimizer(config: OptimizerConfig, learning_rate: Any) -> keras.optimizers.Optimizer:
    if config.name == "adamw":
        return keras.optimizers.AdamW(learning_rate, weight_decay=config.weight_decay)
    if config.name == "sgd":
        return keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True)
    return keras.optimizers.Adam(learning_rate)


def _precision(model: keras.Model) -> str:
    """Return what the layers have: a resumed run keeps the format that it began with."""
    policies = {str(layer.dtype_policy.name) for layer in model.layers}
    return next(iter(policies - {"float32"}), "float32")  # the scores are float32 in all of them


def _restore(run: RunDirectory, steps: int) -> tuple[keras.Model | None, int]:
    if not run.checkpoint.is_file():
        return None, 0
    model = keras.models.load_model(run.checkpoint)
    # Rounded, not divided down: mixed_float16 skips the few steps whose gradients overflow, and
    # iterations does not count those.
    return model, round(int(model.optimizer.iterations) / steps)
