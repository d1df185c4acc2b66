"""Publishes a version once more, with what its manifest lacks; published versions never change."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from app.artifacts.manifest import Manifest
from app.artifacts.publish import publish_version
from app.artifacts.statistics import ReferenceStatistics
from training.publishing.service_check import check_in_service


def republish(
    folder: Path, manifest: Manifest, statistics: ReferenceStatistics, models_dir: Path
) -> Path:
    """Publish the files of a version under the next number, with ``statistics`` in the manifest.

    Args:
        folder: Of the version; its checksums are right.
        manifest: Its description, which is kept but for number, time and statistics.
        statistics: What to add.
        models_dir: Root of the store.

    Returns:
        The new version's folder.

    Raises:
        GateError: The service's own runtime refuses it.
    """

    def fill(staging: Path, version: int) -> Manifest:
        for path in manifest.files:
            target = staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, target)
        return manifest.model_copy(
            update={
                "version": version,
                "created_at": datetime.now(UTC).replace(microsecond=0),
                "statistics": statistics,
                # Of one that was republished itself, samples and report are older still.
                "republished_from": first_version(manifest),
                "files": {},
            }
        )

    return publish_version(models_dir, manifest.name, fill, check=check_in_service)


def first_version(manifest: Manifest) -> int:
    """Return the number that the network, samples and report of a version were published with."""
    return manifest.republished_from or manifest.version
