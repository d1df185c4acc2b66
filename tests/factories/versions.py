"""Makes manifests, samples and version folders, whole or with a chosen defect; no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from app.artifacts.checksums import folder_records
from app.artifacts.layout import MANIFEST, MODEL, OPENVINO_MODEL, REPORT, SAMPLES
from app.artifacts.manifest import Gate, Manifest, ManifestInput, TrainingRecord
from app.artifacts.publish import write_manifest
from app.artifacts.samples import Samples, write_samples


class Defect(StrEnum):
    NO_MANIFEST = "manifest.json is missing"
    BROKEN_MANIFEST = "manifest.json is cut off"
    UNKNOWN_SCHEMA = "manifest.json has an unknown schema version"
    OTHER_NAME = "manifest.json names another model"
    OTHER_VERSION = "manifest.json names another version"
    MISSING_FILE = "model.keras is missing"
    WRONG_SIZE = "model.keras is cut off"
    WRONG_SHA256 = "model.keras has one byte changed"
    UNLISTED_FILE = "a file is not in the manifest"
    SYMLINK = "model.keras is a link"


def make_manifest(name: str = "cifar10", version: int = 1, **changes: Any) -> Manifest:
    """A valid manifest without files; ``changes`` replace its fields."""
    fields: dict[str, Any] = {
        "name": name,
        "version": version,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "architecture": "tiny",
        "parameters": 42,
        "input": ManifestInput(height=4, width=4, channels=3),
        "classes": ("cat", "dog", "frog"),
        "metrics": {"accuracy": 0.9},
        "gate": Gate(passed=True),
        "training": TrainingRecord(
            dataset="generated",
            dataset_fingerprint="0" * 64,
            command="keraserve-train tiny",
            config={"epochs": 1},
            seed=1,
            duration_s=1.5,
            hardware="2 cores",
            libraries={"keras": "3"},
        ),
        "files": {},
    }
    return Manifest.model_validate(fields | changes)


def make_samples(manifest: Manifest, *, count: int = 4, labelled: bool = True) -> Samples:
    """Random images and probabilities that fit ``manifest``; the same ones each time."""
    random = np.random.default_rng(0)
    shape = (count, *manifest.input.spec.shape)
    probabilities = random.dirichlet(np.ones(len(manifest.classes)), count).astype(np.float32)
    return Samples(
        images=random.integers(0, 256, shape, dtype=np.uint8),  # (N, H, W, C), 0..255
        probabilities=probabilities,  # (N, K), rows sum to 1
        labels=probabilities.argmax(axis=1).astype(np.int64) if labelled else None,  # (N,)
    )


def write_content(folder: Path, manifest: Manifest, samples: Samples | None = None) -> None:
    """Write every file of a version but its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(f"weights of {manifest.name}:{manifest.version}".encode())
    write_samples(folder / SAMPLES, samples or make_samples(manifest))
    (folder / REPORT).mkdir()
    (folder / REPORT / "report.html").write_text("<p>fine</p>")


def make_version(
    root: Path,
    name: str = "cifar10",
    version: int = 1,
    *,
    defect: Defect | None = None,
    is_exported: bool = False,
    samples: Samples | None = None,
    **changes: Any,
) -> Path:
    """Make ``root/name/version``, whole but for ``defect``, and return the folder.

    ``changes`` replace fields of its manifest. ``is_exported``: it has what only looks like an
    export for the openvino engine. ``samples``: None makes four that are labelled.
    """
    folder = root / name / str(version)
    manifest = make_manifest(name, version, **changes)
    write_content(folder, manifest, samples)
    if is_exported:
        (folder / OPENVINO_MODEL).parent.mkdir()
        (folder / OPENVINO_MODEL).write_text("<net/>")
    write_manifest(folder, manifest.model_copy(update={"files": folder_records(folder)}))
    if defect is not None:
        _DEFECTS[defect](folder)
    return folder


def edit_manifest(folder: Path, **changes: Any) -> None:
    """Replace top-level fields of ``manifest.json`` without validating them."""
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def _link(path: Path) -> None:
    target = path.rename(path.parents[2] / "weights")
    path.symlink_to(target)


def _add(path: Path) -> None:
    path.write_bytes(b"more")


_DEFECTS: dict[Defect, Callable[[Path], object]] = {
    Defect.NO_MANIFEST: lambda folder: (folder / MANIFEST).unlink(),
    Defect.BROKEN_MANIFEST: lambda folder: _cut(folder / MANIFEST),
    Defect.UNKNOWN_SCHEMA: lambda folder: edit_manifest(folder, schema_version=99),
    Defect.OTHER_NAME: lambda folder: edit_manifest(folder, name="other"),
    Defect.OTHER_VERSION: lambda folder: edit_manifest(folder, version=77),
    Defect.MISSING_FILE: lambda folder: (folder / MODEL).unlink(),
    Defect.WRONG_SIZE: lambda folder: _cut(folder / MODEL),
    Defect.WRONG_SHA256: lambda folder: _flip(folder / MODEL),
    Defect.UNLISTED_FILE: lambda folder: _add(folder / REPORT / "notes.txt"),
    Defect.SYMLINK: lambda folder: _link(folder / MODEL),
}
