"""A training run as a file: typed, defaults filled in, unknown keys refused."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.types import InputSpec, Interpolation, ResizeMode

BUILT_IN = Path(__file__).with_name("configs")


class ConfigError(Exception):
    """A configuration cannot be used; the message is one line and names the key."""


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
    """Which images the run learns from."""

    dataset: Literal["cifar10", "fashion_mnist", "images"] = Field(
        description="A public set (`--data` names a local copy, otherwise keras.datasets "
        "downloads it), or `images`: your own, in the folder or archive that `--data` names."
    )
    input: InputConfig | None = Field(
        default=None, description="Size of the network's input; for `images`, and only for it."
    )

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if (self.dataset == "images") != (self.input is not None):
            raise ValueError('data.input belongs to dataset = "images", and is needed there')
        return self


class ArchitectureConfig(_Section):
    """Which network, and its free sizes."""

    name: str = Field(description="Key of training.architectures.ARCHITECTURES.")
    options: dict[str, float | int] = Field(
        default_factory=dict, description="Keyword arguments of the architecture's build()."
    )


class AugmentationConfig(_Section):
    """What is varied in each training image, anew in every epoch."""

    flip: bool = Field(default=False, description="Mirror left to right, every second image.")
    shift_px: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Largest shift up, down, left or right, px; edges reflect.",
    )


class OptimizerConfig(_Section):
    """How weights follow gradients."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(default=0.0, ge=0, description="Decoupled decay; adamw only.")


class ScheduleConfig(_Section):
    """How the learning rate moves over the run."""

    name: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = Field(default=0.0, ge=0, description="Linear rise from 0, epochs.")


class FitConfig(_Section):
    """Length, batches, number format and randomness of the run."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(default=128, gt=0, description="Images per step.")
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = Field(
        default="auto",
        description="auto: mixed_bfloat16 where the processor or GPU computes in it, else float32.",
    )
    seed: int = Field(default=0, ge=0, description="Same seed, same machine: same weights.")


class GateConfig(_Section):
    """What a run must reach to be published."""

    min_test_accuracy: float = Field(default=0.7, ge=0, le=1)


class PublishConfig(_Section):
    """What a published version carries beside its weights."""

    samples: Literal["labelled", "generated"] = Field(
        default="labelled",
        description="labelled: test images with their classes feed the self-test and the samples "
        "routes; generated: pictures made by code, for versions that must not carry the data set.",
    )


class RunConfig(_Section):
    """Everything that decides what a run computes."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Model to publish under.")
    data: DataConfig
    architecture: ArchitectureConfig
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    fit: FitConfig
    gate: GateConfig = GateConfig()
    publish: PublishConfig = PublishConfig()

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        if self.schedule.warmup_epochs >= self.fit.epochs:
            raise ValueError(
                f"schedule.warmup_epochs is {self.schedule.warmup_epochs:g}, "
                f"must be below fit.epochs, {self.fit.epochs}"
            )
        if self.optimizer.weight_decay and self.optimizer.name != "adamw":
            raise ValueError("optimizer.weight_decay has no effect but with adamw")
        return self

    @property
    def fingerprint(self) -> str:
        """First 8 hex digits of the SHA-256 over every setting that decides the weights."""
        # exclude_none: a key that a later release adds leaves the runs that do not use it alone.
        decisive = self.model_dump_json(exclude={"gate", "publish"}, exclude_none=True)
        return hashlib.sha256(decisive.encode()).hexdigest()[:8]


def load_config(source: str) -> RunConfig:
    """Read a run's configuration.

    Args:
        source: Path of a TOML file, or the name of a built-in one (``cifar10``).

    Raises:
        ConfigError: Neither exists, the file is no TOML, or a key is unknown, missing or out of
            range.
    """
    path = Path(source)
    if not path.is_file():
        path = BUILT_IN / f"{source}.toml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in BUILT_IN.glob("*.toml")))
        raise ConfigError(
            f"no configuration {source!r}: give a TOML file or one of the built-in names: {names}"
        )
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return RunConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ConfigError(f"{path.name}: {where}: {first['msg']}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is no TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from error
