"""What the store shows, taken in at one look."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from app.errors import ArtifactError
from app.registry.labels import LABELS_FILE, read_labels
from app.registry.rollout_file import ROLLOUTS_FILE, read_rollouts
from app.registry.rollout_plan import NO_ROLLOUT, RolloutPlan
from app.registry.store import ModelStore, Signature
from app.registry.version_policy import Latest, VersionPolicy
from app.types import ServableId

logger = logging.getLogger(__name__)

T = TypeVar("T")


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
        plan: What its traffic is meant to do; None where it cannot be read.
    """

    name: str
    policy: VersionPolicy
    on_disk: tuple[int, ...]
    fault: str | None
    changed: frozenset[int]
    labels: Mapping[str, int] | None
    plan: RolloutPlan | None


class StoreView:
    """Looks at the store with the eyes of the policies. Blocks; one thread at a time."""

    def __init__(
        self,
        store: ModelStore,
        policies: Mapping[str, VersionPolicy] | None,
        default_plans: Mapping[str, RolloutPlan] | None = None,
    ) -> None:
        """Take what to look at.

        Args:
            store: What is on disk.
            policies: The models to look for; None for all that the store has, with their latest
                version each.
            default_plans: Canary and shadow by model, where ``rollouts.json`` says nothing.
        """
        self._store = store
        self._policies = policies
        self._default_plans = default_plans or {}
        self._faults: dict[str, str] = {}  # by file

    def look(
        self, failed: Mapping[ServableId, Signature], in_addition: Collection[str] = ()
    ) -> list[Sight]:
        """Return what there is now.

        Args:
            failed: The versions that FAILED, with the signatures of their folders then.
            in_addition: Models to look for beside those of the policies.

        Raises:
            ArtifactError: The root exists and cannot be listed.
            OSError: The file system is at fault, perhaps for a moment.
        """
        policies = self._policies
        if policies is None:
            policies = {name: Latest() for name in self._store.models()}
        policies = {name: Latest() for name in in_addition} | dict(policies)
        labels = self._read(LABELS_FILE, read_labels)
        plans = self._read(ROLLOUTS_FILE, read_rollouts)
        return [
            Sight(
                name,
                policy,
                *self._list_versions(name),
                self._changed(name, failed),
                None if labels is None else labels.get(name, {}),
                None if plans is None else self.complete(name, plans.get(name, NO_ROLLOUT)),
            )
            for name, policy in policies.items()
        ]

    def _list_versions(self, name: str) -> tuple[tuple[int, ...], str | None]:
        try:
            return self._store.versions(name), None
        except ArtifactError as error:
            return (), str(error)

    def _changed(self, name: str, failed: Mapping[ServableId, Signature]) -> frozenset[int]:
        return frozenset(
            id_.version
            for id_, signature in failed.items()
            if id_.name == name and self._store.signature(id_) != signature
        )

    def complete(self, name: str, plan: RolloutPlan) -> RolloutPlan:
        """Return a plan of the store, with what the settings say where it says nothing."""
        return plan.over(self._default_plans.get(name))

    def _read(self, file: str, read: Callable[[Path], T]) -> T | None:
        """Read one of the files beside the models; None, said once, where that cannot be done."""
        if not self._store.root.is_dir():
            return None
        try:
            content = read(self._store.root)
        except ArtifactError as error:
            if str(error) != self._faults.get(file):
                logger.error("%s not read", file, extra={"reason": str(error)})
            self._faults[file] = str(error)
            return None
        self._faults.pop(file, None)
        return content
