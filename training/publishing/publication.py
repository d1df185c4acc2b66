"""The last steps of every publication: exported for CPUs, and accepted by the service itself."""

from __future__ import annotations

import logging
from pathlib import Path

from app.artifacts.layout import MANIFEST, OPENVINO_MODEL
from app.artifacts.manifest import Manifest
from app.artifacts.publish import Fill, publish_version, write_manifest
from app.artifacts.republish import republish_version
from app.artifacts.statistics import ReferenceStatistics
from training.publishing.service_check import check_in_service, export_in_service

logger = logging.getLogger(__name__)


def publish(models_dir: Path, name: str, fill: Fill) -> Path:
    """Publish a new version, complete or not at all; return its folder.

    A network that cannot be exported for the openvino engine is published without: TensorFlow
    executes it.

    Args:
        models_dir: The store.
        name: The model.
        fill: As for ``publish_version``.

    Raises:
        GateError: The service's own runtime refuses it.
    """

    def fill_and_export(folder: Path, version: int) -> Manifest:
        manifest = fill(folder, version)
        _export(folder, manifest)
        return manifest

    return publish_version(models_dir, name, fill_and_export, check=check_in_service)


def republish(
    folder: Path, manifest: Manifest, statistics: ReferenceStatistics | None, models_dir: Path
) -> Path:
    """Publish a version once more, with what older releases did not write into it.

    Args:
        folder: Of the version; its checksums are right.
        manifest: Its description.
        statistics: For the manifest.
        models_dir: Root of the store.

    Raises:
        GateError: The service's own runtime refuses it.
    """

    def add(staging: Path) -> None:
        if not (staging / OPENVINO_MODEL).exists():
            _export(staging, manifest)

    changes = {"statistics": statistics}
    return republish_version(
        folder, manifest, models_dir, changes=changes, add=add, check=check_in_service
    )


def _export(folder: Path, manifest: Manifest) -> None:
    write_manifest(folder, manifest)  # for the service; the final one has checksums
    fault = export_in_service(folder)
    (folder / MANIFEST).unlink()
    if fault is not None:
        logger.warning("warning: not exported for the openvino engine: %s", fault)
