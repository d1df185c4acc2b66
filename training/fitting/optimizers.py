"""How weights follow gradients: the optimiser of a run, and the learning rate over a phase."""

from __future__ import annotations

from typing import Any

import keras

from training.config import OptimizerConfig, RunConfig

MOMENTUM = 0.9
"""Of SGD, with Nesterov's correction: what nearly every published recipe for images uses."""

_UNDECAYED = ["bias", "gamma", "beta"]
"""Decay holds back the size of a kernel; shifting normalisations towards 0 only loses accuracy
(T. He et al.: Bag of Tricks for Image Classification. CVPR 2019, section 3.1)."""


def make_optimizer(
    config: RunConfig, *, peak: float, epochs: int, steps: int
) -> keras.optimizers.Optimizer:
    """Build the optimiser of one phase.

    Args:
        config: The run.
        peak: Largest learning rate of the phase.
        epochs: Length of the phase.
        steps: Of one epoch.
    """
    rate = _learning_rate(config, peak, epochs, steps)
    optimizer = _optimizer(config.optimizer, rate)
    if config.optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=_UNDECAYED)
    return optimizer


def _learning_rate(config: RunConfig, peak: float, epochs: int, steps: int) -> Any:
    if config.schedule.name != "cosine":
        return peak  # plateaus are applied at the borders of epochs
    warmup_steps = round(min(config.schedule.warmup_epochs, epochs / 2) * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=max(epochs * steps - warmup_steps, 1),
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def _optimizer(config: OptimizerConfig, rate: Any) -> keras.optimizers.Optimizer:
    average: dict[str, Any] = {}
    if config.average_momentum:
        average = {"use_ema": True, "ema_momentum": config.average_momentum}
    decay = config.weight_decay or None
    match config.name:
        case "sgd":
            return keras.optimizers.SGD(
                rate, momentum=MOMENTUM, nesterov=True, weight_decay=decay, **average
            )
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, **average)
        case "adam":
            return keras.optimizers.Adam(rate, **average)
        case "adamw":
            return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **average)
        case "adagrad":
            return keras.optimizers.Adagrad(rate, **average)
        case "adadelta":
            return keras.optimizers.Adadelta(rate, **average)
