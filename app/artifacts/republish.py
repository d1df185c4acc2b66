"""Publishes a version once more under the next number: published versions never change."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.artifacts.manifest import Manifest
from app.artifacts.publish import publish_version


def first_version(manifest: Manifest) -> int:
    """Return the number that the network, samples and report of a version were published with."""
    return manifest.republished_from or manifest.version


def republish_version(
    folder: Path,
    manifest: Manifest,
    store_dir: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    add: Callable[[Path], object] = lambda _: None,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """Publish the files of a version, and more, under the next number; return the new folder.

    Args:
        folder: Of the version; its checksums are right.
        manifest: Its description, which is kept but for number, time and ``changes``.
        store_dir: Root of the store.
        changes: Fields of the manifest to replace.
        add: Writes further files into the folder that it is given.
        check: As for ``publish_version``.
    """

    def fill(staging: Path, version: int) -> Manifest:
        for path in manifest.files:
            copy = staging / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, copy)
        add(staging)
        fields = {
            "version": version,
            "created_at": datetime.now(UTC).replace(microsecond=0),
            # Of one that was republished itself, samples and report are older still.
            "republished_from": first_version(manifest),
            "files": {},
        }
        return manifest.model_copy(update=fields | dict(changes or {}))

    return publish_version(store_dir, manifest.name, fill, check=check)
