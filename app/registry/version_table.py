"""The versions of one model with their states, and which of them is its default."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Generic

from app.errors import ConflictError, ServableNotFoundError, ServableNotReadyError
from app.registry.loader import L
from app.registry.rollout_plan import NO_ROLLOUT, CanaryEnd, RolloutPlan, target_version
from app.registry.status import ModelStatus, VersionStatus
from app.registry.store import StoredVersion
from app.registry.version_entry import LOADING_STATES, VersionEntry, now
from app.registry.version_policy import Specific, VersionPolicy, wanted_versions
from app.registry.wishes import Wishes
from app.types import ServableState

STABLE = "stable"
"""The label that every model has: its default version. Set, it pins which one that is."""

_TELLING = (*LOADING_STATES, ServableState.START, ServableState.DRAINING, ServableState.END)
"""States by how well they tell why a model is not ready, best first. FAILED comes after all of
them, for a failed version says little while an older one is loaded in its place."""


class VersionTable(Generic[L]):
    """Bookkeeping only: no IO and no waiting. Its manager's event loop owns it.

    Attributes:
        name: The model.
        policy: Which of its versions are wanted.
        on_disk: Versions that the store has.
        store_fault: Why the store could not list them, or None.
        is_required: Whether the service is unready without it.
        wishes: What an administrator asked for beside policy and labels.
        plan: What its traffic is meant to do.
        unwritten_ends: Of canaries, that the store could not be told of.
    """

    def __init__(
        self,
        name: str,
        policy: VersionPolicy,
        on_disk: tuple[int, ...] = (),
        store_fault: str | None = None,
        *,
        keep_warm_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        wishes: Wishes | None = None,
    ) -> None:
        """Begin without any entry.

        Args:
            name: The model.
            policy: Which of its versions are wanted.
            on_disk: Versions that the store has.
            store_fault: Why the store could not list them, or None.
            keep_warm_s: How long a version that was the default goes on serving after another one
                has taken over, so that going back takes no loading.
            clock: Monotonic seconds.
            wishes: What was asked for before; they outlast the table.
        """
        self.name = name
        self.policy = policy
        self.on_disk = on_disk
        self.store_fault = store_fault
        self.is_required = True
        self.wishes = Wishes() if wishes is None else wishes
        self.plan: RolloutPlan = NO_ROLLOUT
        self.unwritten_ends: tuple[CanaryEnd, ...] = ()
        self._labels: dict[str, int] = {}
        self._entries: dict[int, VersionEntry[L]] = {}
        self._default: VersionEntry[L] | None = None
        self._keep_warm_s = keep_warm_s
        self._clock = clock
        self._previous: VersionEntry[L] | None = None  # the default before this one
        self._previous_until_s = 0.0

    @property
    def entries(self) -> tuple[VersionEntry[L], ...]:
        """All entries, newest first."""
        return tuple(entry for _, entry in sorted(self._entries.items(), reverse=True))

    @property
    def default(self) -> VersionEntry[L] | None:
        """The entry that answers where no version is asked for; None while none can."""
        return self._default

    @property
    def labels(self) -> Mapping[str, int]:
        """The labels that were set, ``stable`` among them only where it was."""
        return self._labels

    @property
    def pinned(self) -> int | None:
        """The version that the label ``stable`` was set to, or None."""
        return self._labels.get(STABLE)

    @property
    def is_ready(self) -> bool:
        """Whether a version is AVAILABLE, or nobody wants one."""
        return self._default is not None or self.wishes.is_off

    def get(self, number: int) -> VersionEntry[L] | None:
        """Return the entry of a version, if there is one."""
        return self._entries.get(number)

    def add(self, stored: StoredVersion) -> VersionEntry[L]:
        """Make the entry of a version, in START."""
        entry = VersionEntry[L](stored)
        self._entries[entry.number] = entry
        return entry

    def set_labels(self, labels: Mapping[str, int]) -> None:
        """Replace the labels; the default may become another version in this step."""
        self._labels = dict(labels)
        self._choose_default()

    def wanted(self) -> tuple[int, ...]:
        """Return the versions to be served, newest first; those that FAILED are not among them."""
        if self.wishes.is_off:
            return ()
        failed = [entry.number for entry in self.entries if entry.state is ServableState.FAILED]
        labelled = [number for label, number in self._labels.items() if label != STABLE]
        return wanted_versions(
            self.policy,
            self.on_disk,
            failed=[*failed, *self.wishes.unloaded],
            pinned=self.pinned,
            labelled=[
                *labelled,
                *self.wishes.loaded,
                *self.wishes.prepared,
                *self._targeted(),
            ],
        )

    def _targeted(self) -> list[int]:
        """Return the versions that canary and shadow need."""
        found = (target_version(name, self._labels, self.on_disk) for name in self.plan.targets())
        return [number for number in found if number is not None]

    @property
    def has_live(self) -> bool:
        """Whether anything serves or still drains."""
        over = (ServableState.START, ServableState.FAILED, ServableState.END)
        return any(entry.state not in over for entry in self.entries)

    def next_to_load(self) -> int | None:
        """Return the newest wanted version that is to be loaded, or None.

        Versions that FAILED do not count as wanted: under ``Latest`` older ones take their places.
        """
        for number in self.wanted():
            entry = self._entries.get(number)
            if entry is None or entry.state in (ServableState.START, ServableState.END):
                return number
        return None

    def superseded(self, *, is_store_seen: bool = True) -> list[VersionEntry[L]]:
        """Return the entries that serve although others are wanted in their place, and serve.

        The default only where another one can be it. All where the model is off. While the store
        shows no version or cannot be read, only what was unloaded: what is in memory may be all
        that is left.
        """
        serving = [entry for entry in self.entries if entry.state is ServableState.AVAILABLE]
        if self.wishes.is_off:
            return serving
        wanted = set(self.wanted())
        if not is_store_seen or not self.on_disk or self.store_fault is not None:
            wanted = {entry.number for entry in serving} - self.wishes.unloaded
        if not any(entry.number in wanted for entry in serving):
            return []
        has_heir = any(entry.number in wanted for entry in self._eligible())
        return [
            entry
            for entry in serving
            if entry.number not in wanted
            and (entry is not self._default or has_heir)
            and not self._is_kept_warm(entry)
        ]

    def _is_kept_warm(self, entry: VersionEntry[L]) -> bool:
        is_previous = entry is self._previous and self._clock() < self._previous_until_s
        return is_previous and entry.number not in self.wishes.unloaded

    def forget_missing(self) -> list[VersionEntry[L]]:
        """Drop the entries of versions that neither serve nor are on disk any more; return them."""
        gone = []
        over = (ServableState.START, ServableState.FAILED, ServableState.END)
        for entry in self.entries:
            is_there = entry.number in self.on_disk or entry.number in self._named()
            if entry.state in over and not is_there:
                gone.append(self._entries.pop(entry.number))
        return gone

    def _named(self) -> set[int]:
        """Return the versions that somebody asked for by number, whether they exist or not."""
        by_policy = self.policy.versions if isinstance(self.policy, Specific) else ()
        return {*by_policy, *self._labels.values(), *self.wishes.loaded}

    def set_state(self, entry: VersionEntry[L], state: ServableState) -> None:
        """Change the state of an entry, and with it, perhaps, the default."""
        if entry.state is not state:
            entry.since = now()
        entry.state = state
        self._choose_default()

    def _choose_default(self) -> None:
        """Take the newest AVAILABLE version, where one is pinned the newest that is not above.

        While there is none of these, the default of before goes on: the pinned one may be loading.
        """
        before, found = self._default, next(self._eligible(), None)
        if found is None and before is not None and before.state is ServableState.AVAILABLE:
            found = before
        self._default = found
        if before is not None and found is not None and found is not before:
            self._previous = before
            self._previous_until_s = self._clock() + self._keep_warm_s

    def _eligible(self) -> Iterator[VersionEntry[L]]:
        """Yield the versions that can be the default, best first."""
        for entry in self.entries:
            is_serving = entry.state is ServableState.AVAILABLE
            is_low_enough = self.pinned is None or entry.number <= self.pinned
            if is_serving and is_low_enough and entry.number not in self.wishes.unloaded:
                yield entry

    def require_default(self) -> VersionEntry[L]:
        """Return the entry that answers where no version is asked for.

        Raises:
            ServableNotReadyError: None can; says why.
        """
        if self._default is None:
            raise ServableNotReadyError(f"{self.name} is not ready: {self.why_unready()}")
        return self._default

    def has_heir(self, version: int) -> bool:
        """Whether another version than this one is there, or on disk, that could be the default."""
        out = {version, *self.wishes.unloaded}
        out |= {entry.number for entry in self.entries if entry.state is ServableState.FAILED}
        alive = {entry.number for entry in self._eligible()} | set(self.on_disk)
        return any(self.pinned is None or number <= self.pinned for number in alive - out)

    def version_before(self) -> int | None:
        """Return the version to roll back to; None where that has happened already.

        The default version of before, if it is older than the present one and still there; else
        the next older one on disk that is not known to be broken.

        Raises:
            ServableNotReadyError: There is no default version to leave.
            ConflictError: There is nothing older, or nobody knows any more what was before.
        """
        present, before = self.require_default().number, self._previous
        if before is not None and before.number > present and self.pinned == present:
            return None
        out = set(self.wishes.unloaded)
        out |= {entry.number for entry in self.entries if entry.state is ServableState.FAILED}
        older = [number for number in self.on_disk if number < present and number not in out]
        if before is not None and before.number in older:
            return before.number
        if before is None and self.pinned is not None:
            raise ConflictError(
                f"{STABLE} of {self.name} was set to {self.pinned} before this server started, "
                "which does not know what was before; point the label at a version instead"
            )
        if not older:
            raise ConflictError(f"{self.name} has no version older than {present} to go back to")
        return max(older)

    def find_target(self, target: str) -> L | None:
        """Return what takes the traffic of a canary's or shadow's target; None where nothing does.

        ``latest`` is the newest AVAILABLE version. The default version is no target.
        """
        serving = [entry.number for entry in self.entries if entry.live is not None]
        number = target_version(target, self._labels, serving)
        if number is None or (self._default is not None and number == self._default.number):
            return None
        return self._entries[number].live

    def find(self, version: int | None, label: str | None) -> L:
        """Return what takes the traffic of a version, of a label, or of the default.

        Raises:
            ServableNotFoundError: There is no such version or label.
            ServableNotReadyError: It is known, but not AVAILABLE.
        """
        if version is not None:
            entry = self._find_version(version)
        elif label is None or label == STABLE:
            entry = self.require_default()
        else:
            entry = self._find_version(self._labelled(label))
        if entry.live is None:
            raise ServableNotReadyError(f"{entry.stored.id} is {entry.describe()}")
        return entry.live

    def _find_version(self, number: int) -> VersionEntry[L]:
        entry = self._entries.get(number)
        if entry is None:
            known = ", ".join(str(entry.number) for entry in self.entries) or "none"
            raise ServableNotFoundError(
                f"{self.name} has no version {number}; it has: {known}", code="version_not_found"
            )
        return entry

    def _labelled(self, label: str) -> int:
        number = self._labels.get(label)
        if number is None:
            known = ", ".join(sorted({STABLE, *self._labels}))
            raise ServableNotFoundError(
                f"{self.name} has no label {label!r}; it has: {known}", code="label_not_found"
            )
        return number

    def why_unready(self) -> str:
        """Return what keeps the model from having an AVAILABLE version, while it has none."""
        if self.wishes.is_off:
            return "it was unloaded"
        entries = self.entries
        for state in _TELLING:
            if any(entry.state is state for entry in entries):
                return state.value
        pinned = self.pinned
        if pinned is not None:
            found = self._entries.get(pinned)
            which = "not in the store" if found is None else found.describe()
            return f"{STABLE} is version {pinned}, which is {which}"
        if entries:
            return f"version {entries[0].number} is {entries[0].describe()}"
        return self.store_fault or "no version in the store (KERASERVE_MODEL_DIR)"

    def status(self) -> ModelStatus[L]:
        """Return a snapshot."""
        default = None if self._default is None else self._default.number
        return ModelStatus(
            name=self.name,
            default_version=default,
            labels=self._labels | ({} if default is None else {STABLE: default}),
            is_pinned=self.pinned is not None,
            versions=tuple(
                VersionStatus(
                    entry.number,
                    entry.state,
                    entry.reason,
                    entry.manifest,
                    entry.live,
                    entry.since,
                )
                for entry in self.entries
            ),
        )
