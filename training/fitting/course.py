"""What a run decides from its own history.

Pure functions of the records so far: a resumed run decides what it would have decided, and there
is no state to save.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.config import RunConfig, ScheduleConfig
from training.fitting.run_directory import EpochRecord

MIN_IMPROVEMENT = 1e-4
"""Of the validation loss, nats; less is noise."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Epochs that one optimiser does.

    Attributes:
        first_epoch: Counted from 0.
        end_epoch: The first one that is not in the phase.
        frozen: Whether a pretrained backbone keeps its weights.
        peak: Largest learning rate.
        plain: Whether mixup and label smoothing are off.
    """

    first_epoch: int
    end_epoch: int
    frozen: bool
    peak: float
    plain: bool = False


def phases(config: RunConfig) -> tuple[Phase, ...]:
    """Return the main phase, with one before it for a frozen backbone, and a plain one after it."""
    fit, peak = config.fit, config.optimizer.learning_rate
    low = peak * fit.fine_tuning_rate
    plain_from = fit.epochs - fit.plain_epochs
    found = []
    if fit.frozen_epochs:
        found.append(Phase(0, fit.frozen_epochs, frozen=True, peak=peak))
    main = low if fit.frozen_epochs else peak
    found.append(Phase(fit.frozen_epochs, plain_from, frozen=False, peak=main))
    if fit.plain_epochs:
        found.append(Phase(plain_from, fit.epochs, frozen=False, peak=low, plain=True))
    return tuple(found)


def best_epoch(history: Sequence[EpochRecord]) -> int:
    """Return the epoch, counted from 1, with the lowest validation loss; the first of equals."""
    return int(min(history, key=lambda record: record["val_loss"])["epoch"])


def should_stop(history: Sequence[EpochRecord], patience_epochs: int) -> bool:
    """Return whether the last ``patience_epochs`` epochs brought nothing; 0 is never."""
    if not patience_epochs or not history:
        return False
    return len(history) - _last_improvement(history) >= patience_epochs


def plateaus(history: Sequence[EpochRecord], schedule: ScheduleConfig) -> int:
    """Return how often the learning rate has been reduced after these epochs."""
    best, waited, reductions = float("inf"), 0, 0
    for record in history:
        if record["val_loss"] < best - MIN_IMPROVEMENT:
            best, waited = record["val_loss"], 0
        else:
            waited += 1
        if waited >= schedule.patience_epochs:
            waited, reductions = 0, reductions + 1
    return reductions


def _last_improvement(history: Sequence[EpochRecord]) -> int:
    """Return the number, counted from 1 in ``history``, of the last epoch that helped."""
    best, at = float("inf"), 0
    for number, record in enumerate(history, start=1):
        if record["val_loss"] < best - MIN_IMPROVEMENT:
            best, at = record["val_loss"], number
    return at
