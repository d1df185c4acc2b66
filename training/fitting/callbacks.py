"""What happens at the borders of an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from app.types import ScoreArray
from training.config import RunConfig
from training.data.dataset import Split
from training.evaluation.evaluate import accuracy_and_loss, probabilities
from training.fitting.batches import TrainingBatches
from training.fitting.course import Phase, best_epoch, plateaus, should_stop
from training.fitting.run_directory import EpochRecord, RunDirectory, replace_file
from training.keras_networks import executable, non_finite_weights


class TrainingDivergedError(Exception):
    """Loss or weights are no numbers any more; the message names the epoch and what helps."""


class Observer(keras.callbacks.Callback):  # type: ignore[misc]
    """Watches a fit and changes nothing; a callback that is told of two things more."""

    # Keras may call on_train_batch_end from other threads, and late: the main thread then need not
    # wait for the figures of each step, which idles a GPU.
    async_safe = True

    def on_validation_end(self, epoch: int, scores: ScoreArray) -> None:
        """Take the ``(N, K)`` probabilities of the validation images; epoch counted from 0.

        Called before ``on_epoch_end``, when the epoch is saved.
        """

    def close(self) -> None:
        """Let go of terminal and files; called at the end of a fit, however that ends."""


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
        for index, layer in enumerate(_flat(self.model.layers)):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                draw = np.random.default_rng([self._seed, epoch, index]).integers(2**31)
                generator.state.assign([draw, 0])  # as a new SeedGenerator: [seed, draws so far]


class EpochEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """After every epoch: validates, records, saves, and decides how the run goes on.

    Saving is the last step that counts: first one more line of history and, if this is the best
    epoch so far, its weights; then the whole training state by one rename. Killed in between, the
    run repeats an epoch, and what was written for it is written again.
    """

    def __init__(
        self,
        config: RunConfig,
        validation: Split,
        run: RunDirectory,
        *,
        history: list[EpochRecord],
        phase: Phase,
        observers: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        """Append to ``history``, which holds the records of earlier sessions and phases.

        Args:
            config: The run.
            validation: What epochs are compared by.
            run: Where state goes.
            history: Of all epochs so far; appended to.
            phase: The present one: stopping and plateaus look no further back.
            observers: Those that are ``Observer`` are given the validation scores.
        """
        super().__init__()
        self._config = config
        self._validation = validation
        self._run = run
        self._history = history
        self._phase = phase
        self._observers = [watcher for watcher in observers if isinstance(watcher, Observer)]
        self._started = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Compile the network for validation, and take up the learning rate."""
        self._execute = executable(self.model)
        self._apply_plateaus()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's stop-watch."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Validate, record, save, decide.

        Raises:
            TrainingDivergedError: A loss or weight is not finite; the epoch before stays saved.
        """
        logs = logs if logs is not None else {}
        train_s = time.monotonic() - self._started
        record = {"epoch": epoch + 1, **{key: float(value) for key, value in logs.items()}}
        self._require_finite("loss", record["loss"], epoch)
        # ReLU and pooling may turn a NaN into a number, and so hide it from the loss.
        if damaged := non_finite_weights(self.model):
            raise self._diverged(f"{damaged} weights are NaN or infinite", epoch)
        with averaged_weights(self.model):
            scores = probabilities(self._execute, self._validation.images)
            accuracy, loss = accuracy_and_loss(scores, self._validation.labels)
            self._require_finite("validation loss", loss, epoch)
            record |= {"val_loss": loss, "val_accuracy": accuracy}
            record["learning_rate"] = float(
                keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            )
            record["duration_s"] = round(time.monotonic() - self._started, 3)
            self._history.append(record)
            self._run.write_history(self._history)
            if self._config.fit.early_stopping_epochs and best_epoch(self._history) == epoch + 1:
                replace_file(self._run.best_weights, self.model.save_weights)
        self._run.write_checkpoint(epoch + 1, self.model.save)
        self._apply_plateaus()
        if not self._phase.frozen and should_stop(
            self._records, self._config.fit.early_stopping_epochs
        ):
            self.model.stop_training = True
        # The observers come after this callback: they see the record, and the seconds that the
        # steps alone took.
        logs.update(record, train_s=train_s)
        for observer in self._observers:
            observer.on_validation_end(epoch, scores)

    def _require_finite(self, name: str, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            raise self._diverged(f"the {name} is {loss}", epoch)

    def _diverged(self, what: str, epoch: int) -> TrainingDivergedError:
        return TrainingDivergedError(
            f"{what} after epoch {epoch + 1}: the training diverged. Lower "
            f"optimizer.learning_rate (it is {self._config.optimizer.learning_rate:g}), or set "
            "fit.precision=float32"
        )

    @property
    def _records(self) -> Sequence[EpochRecord]:
        return self._history[self._phase.first_epoch :]

    def _apply_plateaus(self) -> None:
        schedule = self._config.schedule
        if schedule.name == "plateau":
            rate = self._phase.peak * schedule.factor ** plateaus(self._records, schedule)
            self.model.optimizer.learning_rate = rate


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Have the moving averages in the model's place, if its optimiser keeps them."""
    if not keeps_averages(model):
        yield
        return
    raw = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, raw, strict=True):
            weight.assign(value)


def keeps_averages(model: keras.Model) -> bool:
    """Tell whether the optimiser keeps moving averages; float16's loss scaling wraps another."""
    return bool(getattr(model.optimizer, "inner_optimizer", model.optimizer).use_ema)


def _flat(layers: Sequence[keras.Layer]) -> Iterator[keras.Layer]:
    for layer in layers:
        yield layer
        yield from _flat(getattr(layer, "layers", ()))
