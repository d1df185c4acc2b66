"""Fits one network as its configuration says; a stopped run goes on from its last epoch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import keras
import tensorflow as tf

from training.architectures import build_network, set_backbone_trainable
from training.config import RunConfig
from training.config_file import ConfigError
from training.data.dataset import Dataset
from training.fitting.batches import TrainingBatches
from training.fitting.callbacks import EpochChance, EpochEnd, Observer
from training.fitting.course import Phase, best_epoch, phases, should_stop
from training.fitting.hardware import preferred_precision, training_strategy
from training.fitting.optimizers import make_optimizer
from training.fitting.run_directory import EpochRecord, RunDirectory
from training.fitting.teacher import Teacher

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """What a finished fit leaves behind.

    Attributes:
        model: The network as it is to be published: averaged, and of the best epoch, where the
            configuration asks for that.
        history: One record per epoch; ``accuracy`` is that of the augmented training images,
            ``val_accuracy`` and ``val_loss`` are of the validation images as they are.
        precision: Keras dtype policy of the layers.
    """

    model: keras.Model
    history: list[EpochRecord]
    precision: str

    @property
    def duration_s(self) -> float:
        """Seconds spent in epochs, over all sessions of a resumed run."""
        return sum(record["duration_s"] for record in self.history)


def fit(
    config: RunConfig,
    dataset: Dataset,
    run: RunDirectory,
    *,
    observers: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
    teacher: Teacher | None = None,
) -> TrainedNetwork:
    """Train, or go on training, until the run's epochs are done or nothing improves any more.

    Args:
        config: The run.
        dataset: What it learns from.
        run: Where its state lives; a state that is there is continued.
        observers: Told of epochs and batches. At an epoch's end its record is saved, and in
            ``logs``.
        strategy: Over which devices batches are divided; all GPUs of the machine by default.
        teacher: Whose probabilities are mixed into the labels.

    Raises:
        TrainingDivergedError: The loss became NaN or infinite.
        ConfigError: The network cannot be built for these images, or there are fewer images in a
            batch than devices.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(config.fit.seed)
    strategy = strategy or training_strategy()
    devices = strategy.num_replicas_in_sync
    _require_images(config, dataset, devices)
    with ExitStack() as stack:
        for observer in observers:
            if isinstance(observer, Observer):
                stack.callback(observer.close)
        stack.enter_context(strategy.scope())

        # ---- state ----------------------------------------------------------------------------
        model, done = _restore(config, run)
        history = run.history()
        if model is None:
            model = _build(config, dataset)
        else:
            logger.info("resuming", extra={"run": str(run.path), "epochs_done": done})

        # ---- phases ---------------------------------------------------------------------------
        for phase in phases(config):
            if done >= phase.end_epoch or _has_stopped(config, phase, history):
                continue
            batches = _batches(config, dataset, phase, devices, teacher)
            _begin(model, config, phase, steps=len(batches), done=done)
            model.fit(
                batches.stream(),
                initial_epoch=done,
                epochs=phase.end_epoch,
                callbacks=[
                    EpochChance(batches, config.fit.seed),
                    EpochEnd(
                        config,
                        dataset.validation,
                        run,
                        history=history,
                        phase=phase,
                        observers=observers,
                    ),
                    *observers,
                ],
                shuffle=False,  # batches come shuffled, in a way that a resumed run can repeat
                verbose=0,
            )
            done = len(history)

        # ---- weights to publish ---------------------------------------------------------------
        if config.fit.early_stopping_epochs:
            logger.info("taking the best epoch", extra={"epoch": best_epoch(history)})
            model.load_weights(run.best_weights)
        else:
            model.optimizer.finalize_variable_values(model.trainable_variables)
    return TrainedNetwork(model, history, _precision(model))


def _require_images(config: RunConfig, dataset: Dataset, devices: int) -> None:
    if min(config.fit.batch_size, len(dataset.train)) < devices:
        raise ConfigError(
            f"fit.batch_size is {config.fit.batch_size}, the training images are "
            f"{len(dataset.train)}: too few to divide over {devices} devices; "
            "CUDA_VISIBLE_DEVICES=0 trains on one GPU"
        )


def _batches(
    config: RunConfig, dataset: Dataset, phase: Phase, devices: int, teacher: Teacher | None
) -> TrainingBatches:
    unmixed = config.augmentation.model_copy(update={"mixup_alpha": 0.0})
    return TrainingBatches(
        dataset.train,
        len(dataset.classes),
        unmixed if phase.plain else config.augmentation,
        batch_size=config.fit.batch_size,
        seed=config.fit.seed,
        devices=devices,
        teacher=teacher,
    )


def _build(config: RunConfig, dataset: Dataset) -> keras.Model:
    precision = preferred_precision() if config.fit.precision == "auto" else config.fit.precision
    return build_network(
        config.architecture, dataset.spec.shape, len(dataset.classes), precision=precision
    )


def _begin(model: keras.Model, config: RunConfig, phase: Phase, *, steps: int, done: int) -> None:
    """Make the optimiser of a phase: a new one, or in its middle one with the state so far.

    Loading alone would not do: Keras forgets which variables are left out of weight decay.
    """
    before = model.optimizer if done else None  # of the run so far
    if before is not None and done == phase.first_epoch:
        # As model.fit does at the end of a phase: a run that was stopped there begins the next
        # one with the averages too.
        before.finalize_variable_values(model.trainable_variables)
    set_backbone_trainable(model, trainable=not phase.frozen)
    model.compile(
        optimizer=make_optimizer(
            config,
            peak=phase.peak,
            epochs=phase.end_epoch - phase.first_epoch,
            steps=steps,
        ),
        loss=keras.losses.CategoricalCrossentropy(
            label_smoothing=0.0 if phase.plain else config.fit.label_smoothing
        ),
        metrics=["accuracy"],
    )
    if before is not None and done > phase.first_epoch:
        model.optimizer.build(model.trainable_variables)
        for variable, saved in zip(model.optimizer.variables, before.variables, strict=True):
            variable.assign(saved)


def _has_stopped(config: RunConfig, phase: Phase, history: list[EpochRecord]) -> bool:
    """Whether an earlier session ended this phase early."""
    part = history[phase.first_epoch : phase.end_epoch]
    return not phase.frozen and should_stop(part, config.fit.early_stopping_epochs)


def _precision(model: keras.Model) -> str:
    """Return what the layers have: a resumed run keeps the format that it began with."""
    policies = {str(layer.dtype_policy.name) for layer in model.layers}
    return next(iter(policies - {"float32"}), "float32")  # the scores are float32 in all of them


def _restore(config: RunConfig, run: RunDirectory) -> tuple[keras.Model | None, int]:
    found = run.checkpoint()
    if found is None:
        return None, 0
    path, epochs = found
    # Layers bring their own policy. Keras wraps the optimiser of a float16 network for scaling the
    # loss, but looks at the global policy to see that it is one: without it the state would be
    # loaded into an optimiser that is not wrapped, which fails.
    before = keras.mixed_precision.dtype_policy()
    if config.fit.precision != "auto":  # which never is float16
        keras.mixed_precision.set_dtype_policy(config.fit.precision)
    try:
        return keras.models.load_model(path), epochs
    finally:
        keras.mixed_precision.set_dtype_policy(before)
