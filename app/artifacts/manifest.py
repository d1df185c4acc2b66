"""``manifest.json``: what a version is, where it comes from, and what its files must hash to."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from app.artifacts.layout import MANIFEST, MODEL, SAVED_MODEL
from app.artifacts.plain_file import read_plain_file
from app.artifacts.record import Record
from app.artifacts.statistics import ReferenceStatistics
from app.errors import ArtifactError
from app.types import InputSpec, Interpolation, ResizeMode

SCHEMA_VERSION: Final = 1

LATER_FIELDS: Final = ("statistics", "republished_from")
"""What schema 1 did not have at first. Servers refuse names that they do not know, so these are
left out where they are empty: what needs none of them stays readable for the servers before."""

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Model names: safe as a folder, a URL segment and a metric label."""


MAX_MANIFEST_BYTES = 16 * 1024**2
"""A manifest of 1,000 classes has 100 kB; it is read as a whole."""

NetworkFormat = Literal["keras", "saved_model"]
"""How a version holds its network: layers of Keras, or a frozen TensorFlow graph."""


class ManifestInput(Record):
    """What the network takes, and how an upload is brought to it."""

    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    channels: Literal[1, 3]
    resize: ResizeMode = "stretch"
    interpolation: Interpolation = "bilinear"
    scale: float = Field(default=1.0, description="Factor on 0..255 where not in the network.")
    offset: float = Field(default=0.0, description="Added after scale, where not in the network.")

    @property
    def spec(self) -> InputSpec:
        """The part of it that imaging needs."""
        return InputSpec(self.height, self.width, self.channels, self.resize, self.interpolation)


class Calibration(Record):
    """How probabilities were made honest: softmax(log p / temperature)."""

    temperature: float = Field(default=1.0, gt=0)
    method: Literal["none", "temperature_scaling"] = "none"


class GateCheck(Record):
    """One condition of publishing, with what was measured."""

    name: str
    value: float
    limit: float
    passed: bool


class Gate(Record):
    """Whether the version was allowed to be published."""

    passed: bool
    forced: bool = False
    checks: tuple[GateCheck, ...] = ()


class TrainingRecord(Record):
    """The facts needed to repeat the run."""

    dataset: str
    dataset_fingerprint: str
    command: str
    config: dict[str, Any]
    seed: int
    duration_s: float = Field(ge=0)
    hardware: str
    libraries: dict[str, str]
    commit: str | None = None

    @field_validator("config")
    @classmethod
    def _require_json(cls, config: dict[str, Any]) -> dict[str, Any]:
        # Read from JSON, 1e999 is infinite, which no JSON that answers with it could say.
        json.dumps(config, allow_nan=False)
        return config


class SelfTestTolerance(Record):
    """How far another engine or precision may be from the recorded probabilities."""

    min_top1_agreement: float = Field(default=0.99, ge=0, le=1)
    max_deviation: float = Field(default=0.05, gt=0, le=1)


class FileRecord(Record):
    """What one file must be."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class Manifest(Record):
    """A published version, described."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(pattern=NAME_PATTERN)
    version: int = Field(ge=1)
    created_at: datetime
    format: NetworkFormat = "keras"
    architecture: str
    parameters: int = Field(ge=0)
    input: ManifestInput
    classes: tuple[str, ...] = Field(min_length=2)
    calibration: Calibration = Calibration()
    metrics: dict[str, float]
    gate: Gate
    training: TrainingRecord
    self_test: SelfTestTolerance = SelfTestTolerance()
    statistics: ReferenceStatistics | None = Field(
        default=None, description="What drift is measured against; older versions have none."
    )
    republished_from: int | None = Field(
        default=None,
        ge=1,
        description="The version that this one repeats with a newer manifest; samples and report "
        "are of that one.",
    )
    files: dict[str, FileRecord] = Field(
        description="Every other file, by its path inside the folder with forward slashes."
    )

    @property
    def network_file(self) -> str:
        """Path of the network inside the folder."""
        return MODEL if self.format == "keras" else SAVED_MODEL

    def to_json(self) -> str:
        """Return the content of the file, indented, for people who read and compare it."""
        empty = {name for name in LATER_FIELDS if getattr(self, name) is None}
        return self.model_dump_json(indent=2, exclude=empty) + "\n"

    @model_validator(mode="after")
    def _check(self) -> Manifest:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("class names repeat")
        if self.statistics is not None:
            self.statistics.require_fit(len(self.classes), self.input.channels)
        for path in self.files:
            parts = path.split("/")
            if path.startswith("/") or "\\" in path or {"", ".", ".."} & set(parts):
                raise ValueError(f"files: {path!r} is no path inside the version folder")
        return self


def read_manifest(folder: Path) -> Manifest:
    """Read and validate ``folder/manifest.json``; the other files are not looked at.

    Raises:
        ArtifactError: It is missing, no JSON, of another schema version, or has a bad field.
    """
    return parse_manifest(manifest_bytes(folder))


def manifest_bytes(folder: Path) -> bytes:
    """Return the content of ``folder/manifest.json``, unread: what a signature is about.

    Raises:
        ArtifactError: It is missing, no regular file, or above ``MAX_MANIFEST_BYTES``.
    """
    try:
        return read_plain_file(folder / MANIFEST, MAX_MANIFEST_BYTES)
    except FileNotFoundError as error:
        raise ArtifactError(f"{MANIFEST} is missing") from error
    except OSError as error:
        raise ArtifactError(f"{MANIFEST} cannot be read: {error.strerror}") from error


def parse_manifest(content: bytes) -> Manifest:
    """Validate the content of a manifest.

    Raises:
        ArtifactError: It is no JSON, of another schema version, or has a bad field.
    """
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ArtifactError(f"{MANIFEST} is invalid at {where}: {first['msg']}") from error
