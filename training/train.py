"""Fits one network as its configuration says; a stopped run goes on from its last epoch."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from training.architectures import ARCHITECTURES
from training.batches import TrainingBatches
from training.config import OptimizerConfig, RunConfig
from training.data import Dataset
from training.hardware import preferred_precision

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.keras"
HISTORY = "history.jsonl"


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """What a finished fit leaves behind.

    Attributes:
        model: The network as trained, optimiser included.
        history: One record per epoch: epoch (from 1), loss, accuracy, learning_rate,
            duration_s.
        precision: Number format that was used.
    """

    model: keras.Model
    history: list[dict[str, float]]
    precision: str

    @property
    def duration_s(self) -> float:
        """Seconds spent in epochs, over all sessions of a resumed run."""
        return sum(record["duration_s"] for record in self.history)


class EpochCheckpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """After every epoch: one more line of history, then the whole training state.

    In that order, and the state by one rename: killed in between, the run repeats an epoch and
    the surplus line is cut off at resume; nothing is ever half-written.
    """

    def __init__(self, run_dir: Path, history: list[dict[str, float]]) -> None:
        """Append to ``history``, which holds the records of earlier sessions."""
        super().__init__()
        self._run_dir = run_dir
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
        lines = "".join(json.dumps(entry) + "\n" for entry in self._history)
        _replace(self._run_dir / HISTORY, lambda part: part.write_text(lines, encoding="utf-8"))
        _replace(self._run_dir / CHECKPOINT, self.model.save)


def fit(config: RunConfig, dataset: Dataset, run_dir: Path, *, verbose: int) -> TrainedNetwork:
    """Train, or go on training, until ``config.fit.epochs`` epochs are done.

    Args:
        config: The run.
        dataset: What it learns from.
        run_dir: Where its state lives; a state that is there is continued.
        verbose: As in ``keras.Model.fit``: 1 draws bars, 2 prints a line per epoch.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    precision = preferred_precision() if config.fit.precision == "auto" else config.fit.precision
    keras.utils.set_random_seed(config.fit.seed)
    steps = -(-len(dataset.train) // config.fit.batch_size)

    model, done = _restore(run_dir, steps)
    history = _read_history(run_dir)[:done]
    if model is None:
        model = _build(config, dataset, precision, steps)
    else:
        logger.info("resuming", extra={"run": str(run_dir), "epochs_done": done})
    if done < config.fit.epochs:
        batches = TrainingBatches(
            dataset.train,
            config.augmentation,
            batch_size=config.fit.batch_size,
            seed=config.fit.seed,
            first_epoch=done,
        )
        model.fit(
            batches,
            epochs=config.fit.epochs,
            initial_epoch=done,
            callbacks=[EpochCheckpoint(run_dir, history)],
            verbose=verbose,
        )
    return TrainedNetwork(model, history, precision)


def _build(config: RunConfig, dataset: Dataset, precision: str, steps: int) -> keras.Model:
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        model = ARCHITECTURES[config.architecture.name](
            dataset.spec.shape, len(dataset.classes), **config.architecture.options
        )
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
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


def _restore(run_dir: Path, steps: int) -> tuple[keras.Model | None, int]:
    checkpoint = run_dir / CHECKPOINT
    if not checkpoint.is_file():
        return None, 0
    model = keras.models.load_model(checkpoint)
    return model, int(model.optimizer.iterations) // steps


def _read_history(run_dir: Path) -> list[dict[str, float]]:
    path = run_dir / HISTORY
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _replace(path: Path, write: Any) -> None:
    part = path.with_name(f"part-{path.name}")
    write(part)
    os.replace(part, path)
