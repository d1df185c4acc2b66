"""What the store shows, taken in at one look."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import ArtifactError
from app.registry.labels import Labels, read_labels
from app.registry.store import ModelStore, Signature
from app.registry.version_policy import Latest, VersionPolicy
from app.types import ServableId

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sight:
    """What the store shows of one model.

    Attributes:
        name: The model.
        policy: Which of its versions are wanted.
        on_disk: The versions that are there.
        fault: Why they could not be listed, or None.
        changed: Those that FAILED, and whose folder is another one now.
        labels: Names of versions; None where they cannot be read: those known so far hold.
    """

    name: str
    policy: VersionPolicy
    on_disk: tuple[int, ...]
    fault: str | None
    changed: frozenset[int]
    labels: Mapping[str, int] | None


class StoreView:
    """Looks at the store with the eyes of the policies. Blocks; one thread at a time."""

    def __init__(self, store: ModelStore, policies: Mapping[str, VersionPolicy] | None) -> None:
        """Take what to look at.

        Args:
            store: What is on disk.
            policies: The models to look for; None for all that the store has, with their latest
                version each.
        """
        self._store = store
        self._policies = policies
        self._labels_fault: str | None = None

    def look(self, failed: Mapping[ServableId, Signature]) -> list[Sight]:
        """Return what there is now.

        Args:
            failed: The versions that FAILED, with the signatures of their folders then.

        Raises:
            ArtifactError: The root exists and cannot be listed.
            OSError: The file system is at fault, perhaps for a moment.
        """
        policies = self._policies
        if policies is None:
            policies = {name: Latest() for name in self._store.models()}
        labels = self._read_labels()
        sights = []
        for name, policy in policies.items():
            try:
                on_disk, fault = self._store.versions(name), None
            except ArtifactError as error:
                on_disk, fault = (), str(error)
            changed = frozenset(
                id_.version
                for id_, signature in failed.items()
                if id_.name == name and self._store.signature(id_) != signature
            )
            of_model = None if labels is None else labels.get(name, {})
            sights.append(Sight(name, policy, on_disk, fault, changed, of_model))
        return sights

    def _read_labels(self) -> Labels | None:
        if not self._store.root.is_dir():
            return None
        try:
            labels = read_labels(self._store.root)
        except ArtifactError as error:
            if str(error) != self._labels_fault:  # said once
                logger.error("labels not read", extra={"reason": str(error)})
            self._labels_fault = str(error)
            return None
        self._labels_fault = None
        return labels
