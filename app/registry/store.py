"""What is on disk: ``root/<model>/<version>/``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.artifacts.manifest import NAME_PATTERN, Manifest
from app.artifacts.trust import ANYBODY, TrustPolicy
from app.errors import ArtifactError
from app.registry.model_names import is_model_name
from app.types import ServableId

logger = logging.getLogger(__name__)

_CANONICAL_VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""As ``str(int)`` writes it: were ``007`` a version, ``7`` beside it would be the same one. 18
digits fit into a 64-bit integer, time stamps in nanoseconds do not."""


Signature = tuple[tuple[str, int, int], ...]
"""Path, size and time of change of every file of a version."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version on disk, by its identity and its folder."""

    id: ServableId
    folder: Path


class ModelStore:
    """Reads the folders below ``root`` (KERASERVE_MODEL_DIR); changes and remembers nothing.

    Every method does blocking IO: callers on an event loop use a thread. Methods hold no state
    and may run in several threads at once.

    Ignored: whatever begins with a dot (staging folders, ``.last-version``), files, folders of
    versions whose name is no canonical integer from 1 (``007``, ``latest``), folders of models
    without any version (the first one may be about to be published).
    """

    def __init__(self, root: Path, trust: TrustPolicy = ANYBODY) -> None:
        """Take the root, which need not exist yet, and whose versions are read."""
        self.root = root
        self.trust = trust
        self._warned: set[str] = set()

    def models(self) -> tuple[str, ...]:
        """Return the names of all models with at least one version, sorted.

        A folder that cannot be listed counts as a model: ``versions`` says what is wrong with it.

        Raises:
            ArtifactError: The root exists and cannot be listed.
        """
        names = (name for name in _folders(self.root) if self._has_versions(name))
        return tuple(sorted(name for name in names if self._can_name_a_model(name)))

    def _can_name_a_model(self, name: str) -> bool:
        if is_model_name(name):
            return True
        if name not in self._warned:  # said once
            self._warned.add(name)
            fields = {"folder": name, "must": NAME_PATTERN}
            logger.warning("folder ignored: no model name", extra=fields)
        return False

    def _has_versions(self, name: str) -> bool:
        try:
            return bool(self.versions(name))
        except ArtifactError:
            return True

    def versions(self, name: str) -> tuple[int, ...]:
        """Return the version numbers of a model, highest first; none for an unknown model.

        Raises:
            ArtifactError: The model's folder exists and cannot be listed.
        """
        numbers = filter(_CANONICAL_VERSION.fullmatch, _folders(self.root / name))
        return tuple(sorted(map(int, numbers), reverse=True))

    def locate(self, servable_id: ServableId) -> StoredVersion:
        """Return where a version is, or would be; the disk is not looked at."""
        return StoredVersion(servable_id, self.root / servable_id.name / str(servable_id.version))

    def signature(self, servable_id: ServableId) -> Signature:
        """Return what tells one content of a version's folder from another, without reading it.

        Returns:
            Path, size in bytes and time of change in ns of every file; empty for no folder, or one
            that cannot be read.
        """
        folder = self.locate(servable_id).folder
        try:
            return tuple(_signed(folder))
        except OSError:  # of a network file system, perhaps for a moment
            return ()

    def read(self, servable_id: ServableId) -> Manifest:
        """Read the manifest of a version; its other files are not looked at.

        Raises:
            ArtifactError: There is no such folder, it lies outside of the store, or its manifest is
                missing, invalid, not signed as it must be, or of another model or version than the
                folder.
        """
        folder = self.locate(servable_id).folder
        if not folder.is_dir():
            raise ArtifactError(f"{servable_id} is not in the store (KERASERVE_MODEL_DIR)")
        if not folder.resolve().is_relative_to(self.root.resolve()):
            raise ArtifactError(
                "its folder is a link that leads out of the store (KERASERVE_MODEL_DIR); copy it"
            )
        manifest = self.trust.read(folder)
        described = ServableId(manifest.name, manifest.version)
        if described != servable_id:
            raise ArtifactError(f"the manifest describes {described}, the folder is {servable_id}")
        return manifest


def _folders(parent: Path) -> Iterator[str]:
    try:
        for path in parent.iterdir():
            if not path.name.startswith(".") and path.is_dir():  # raises for one that is stale
                yield path.name
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise ArtifactError(f"{str(parent)!r} cannot be listed: {error.strerror}") from error


def _signed(folder: Path) -> Iterator[tuple[str, int, int]]:
    for path in sorted(folder.rglob("*")):
        try:
            status = path.stat()
        except FileNotFoundError:  # gone in between, or a link to nowhere: a change in either case
            continue
        yield str(path.relative_to(folder)), status.st_size, status.st_mtime_ns
