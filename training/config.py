"""What a training run can be told: one section per subject, typed, unknown keys refused."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.artifacts.manifest import NAME_PATTERN
from app.types import InputSpec, Interpolation, ResizeMode

OptimizerName = Literal["sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]

_VERSION = NAME_PATTERN.removesuffix("$") + r":[1-9][0-9]{0,17}$"

_DECAYING: tuple[OptimizerName, ...] = ("sgd", "adamw")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputConfig(_Section):
    """What the network takes, where the data set does not decide it."""

    height: int = Field(ge=4, le=4096, description="Rows, px.")
    width: int = Field(ge=4, le=4096, description="Columns, px.")
    channels: Literal[1, 3] = Field(default=3, description="1 (grey) or 3 (RGB).")
    resize: ResizeMode = Field(default="stretch", description="How other sizes are fitted.")
    interpolation: Interpolation = Field(default="bilinear", description="Filter of that.")

    @property
    def spec(self) -> InputSpec:
        """The same, as imaging takes it."""
        return InputSpec(self.height, self.width, self.channels, self.resize, self.interpolation)


class DataConfig(_Section):
    """Which images the run learns from, and which it is judged by."""

    dataset: Literal["cifar10", "fashion_mnist", "images"] = Field(
        description="A public set (`--data` names a local copy, otherwise keras.datasets "
        "downloads it), or `images`: your own, in the folder or file that `--data` names."
    )
    input: InputConfig | None = Field(
        default=None, description="Size of the network's input; for `images`, and only for it."
    )
    validation_share: float = Field(
        default=0.1,
        gt=0,
        lt=0.5,
        description="Share of each class's training images that is kept for validation, where the "
        "set has no part of its own for it.",
    )
    test_share: float = Field(
        default=0.15,
        gt=0,
        lt=0.5,
        description="The same for the test images.",
    )
    max_unreadable_share: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="Share of the images that may be unreadable; they are listed and skipped. "
        "More end the run before it trains.",
    )

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if (self.dataset == "images") != (self.input is not None):
            raise ValueError('data.input belongs to dataset = "images", and is needed there')
        return self


class ArchitectureConfig(_Section):
    """Which network, and its free sizes."""

    name: str = Field(description="Which network; an unknown name is answered with the list.")
    options: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Its sizes; an unknown one is answered with the list."
    )


class AugmentationConfig(_Section):
    """What is varied in each training image, anew in every epoch."""

    flip: bool = Field(
        default=False,
        description="Mirror left to right in every second epoch, beginning by a toss per image.",
    )
    shift_px: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Largest shift up, down, left or right, px; edges reflect.",
    )
    cutout_px: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Side of a square, px, painted grey anywhere in each image; may hang over.",
    )
    mixup_alpha: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Blend each image and its label with another's; both parameters of the Beta "
        "distribution of the share. 0 is off, 0.2 is usual.",
    )


class OptimizerConfig(_Section):
    """How weights follow gradients."""

    name: OptimizerName = Field(
        default="adam",
        description="sgd (momentum 0.9, Nesterov), rmsprop, adam, adamw, adagrad or adadelta.",
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="Decoupled decay, times the learning rate at each step; sgd and adamw only. "
        "Biases and normalisations are left out.",
    )
    average_momentum: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Keep an exponential moving average of the weights with this momentum per "
        "step, and validate and publish it. 0 is off, 0.999 averages about 1,000 steps. Where "
        "there is batch normalisation, let the rate fall to 0: its statistics are those of the "
        "last weights.",
    )


class ScheduleConfig(_Section):
    """How the learning rate moves over the run."""

    name: Literal["constant", "cosine", "plateau"] = Field(
        default="constant",
        description="constant, cosine (falls to 0 over the run) or plateau (falls when the "
        "validation loss does not).",
    )
    warmup_epochs: float = Field(
        default=0.0, ge=0, description="Linear rise from 0, epochs; cosine only."
    )
    factor: float = Field(
        default=0.3, gt=0, lt=1, description="plateau: what the rate is multiplied by."
    )
    patience_epochs: int = Field(
        default=3,
        gt=0,
        description="plateau: epochs without a lower validation loss before that happens.",
    )


class FitConfig(_Section):
    """Length, batches, loss, number format and randomness of the run."""

    epochs: int = Field(gt=0, description="Most epochs; early stopping may end sooner.")
    batch_size: int = Field(default=128, gt=0, description="Images per step, over all GPUs.")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of each label that is spread over all classes."
    )
    frozen_epochs: int = Field(
        default=0,
        ge=0,
        description="First epochs, in which a pretrained backbone keeps its weights.",
    )
    fine_tuning_rate: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Factor on the learning rate once the backbone is let loose, and in the plain "
        "epochs.",
    )
    plain_epochs: int = Field(
        default=0,
        ge=0,
        description="Last epochs, without mixup and label smoothing: both bend the probabilities "
        "in a way that one temperature cannot mend. Not with early stopping.",
    )
    early_stopping_epochs: int = Field(
        default=0,
        ge=0,
        description="Stop after this many epochs without a lower validation loss, and go back to "
        "the weights of the best epoch. 0 is off: the last epoch's weights are kept.",
    )
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = Field(
        default="auto",
        description="auto: mixed_bfloat16 where the processor or GPU computes in it, else float32.",
    )
    seed: int = Field(default=0, ge=0, description="Same seed, same machine: same weights.")


class DistillationConfig(_Section):
    """Learning from the probabilities of a network that is better, and perhaps too slow to serve.

    G. Hinton, O. Vinyals, J. Dean: Distilling the Knowledge in a Neural Network. 2015.
    """

    teacher: str | None = Field(
        default=None,
        pattern=_VERSION,
        description="Published version to learn from, as `NAME:NUMBER`; it must know the same "
        "classes, take the same input, and not have seen the images that this run keeps apart.",
    )
    teacher_sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="Of the file of its network: another teacher is refused. The record of a "
        "published version has it.",
    )
    share: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="Share of each label that is the teacher's probabilities of the augmented "
        "image; the rest is the image's class.",
    )


class GateConfig(_Section):
    """What a run must reach to be published. Accuracies are those of images as they are."""

    min_train_accuracy: float = Field(
        default=0.8, ge=0, le=1, description="Below it the network underfits."
    )
    min_validation_accuracy: float = Field(
        default=0.7, ge=0, le=1, description="Below it the network does not generalise."
    )
    min_test_accuracy: float = Field(
        default=0.0, ge=0, le=1, description="A promise about the test images; 0 is none."
    )
    max_accuracy_drop: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="How far the test accuracy may be below that of the version that is published "
        "now, on the same images.",
    )


class PublishConfig(_Section):
    """What a published version carries beside its weights."""

    samples: Literal["labelled", "generated"] = Field(
        default="labelled",
        description="labelled: test images with their classes feed the self-test and the samples "
        "routes, and the report shows some; generated: pictures made by code and a report without "
        "pictures, for versions that must not carry the data set.",
    )


class RunConfig(_Section):
    """Everything that decides what a run computes."""

    name: str = Field(pattern=NAME_PATTERN, description="Model to publish under.")
    data: DataConfig
    architecture: ArchitectureConfig
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    fit: FitConfig
    distillation: DistillationConfig = DistillationConfig()
    gate: GateConfig = GateConfig()
    publish: PublishConfig = PublishConfig()

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        schedule, fit = self.schedule, self.fit
        if schedule.warmup_epochs and schedule.name != "cosine":
            raise ValueError('schedule.warmup_epochs has no effect but with name = "cosine"')
        if schedule.warmup_epochs >= fit.epochs:
            raise ValueError(
                f"schedule.warmup_epochs is {schedule.warmup_epochs:g}, "
                f"must be below fit.epochs, {fit.epochs}"
            )
        if fit.frozen_epochs + fit.plain_epochs >= fit.epochs:
            raise ValueError(
                f"fit.frozen_epochs is {fit.frozen_epochs} and fit.plain_epochs is "
                f"{fit.plain_epochs}, together they must be below fit.epochs, {fit.epochs}"
            )
        if fit.plain_epochs and fit.early_stopping_epochs:
            raise ValueError(
                "fit.plain_epochs are the last ones of a run of known length: they cannot be "
                "combined with fit.early_stopping_epochs"
            )
        if self.distillation.teacher is None and self.distillation != DistillationConfig():
            raise ValueError("distillation has no effect without distillation.teacher")
        if self.optimizer.weight_decay and self.optimizer.name not in _DECAYING:
            raise ValueError(
                "optimizer.weight_decay has no effect but with " + " and ".join(_DECAYING)
            )
        return self

    @property
    def fingerprint(self) -> str:
        """First 8 hex digits of the SHA-256 over every setting that decides the weights."""
        # exclude_defaults: a key that a later release adds leaves the runs that do not use it
        # alone.
        decisive = self.model_dump_json(exclude={"gate", "publish"}, exclude_defaults=True)
        return hashlib.sha256(decisive.encode()).hexdigest()[:8]
