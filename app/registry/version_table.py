"""The versions of one model with their states, and which of them is its default."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic

from app.artifacts.manifest import Manifest
from app.errors import ServableNotFoundError, ServableNotReadyError
from app.registry.loader import L
from app.registry.status import ModelStatus, VersionStatus
from app.registry.store import Signature, StoredVersion
from app.registry.version_policy import Specific, VersionPolicy, wanted_versions
from app.types import ServableState

STABLE = "stable"
"""The label that every model has: its default version. Set, it pins which one that is."""

LOADING_STATES = (ServableState.LOADING, ServableState.WARMING, ServableState.TESTING)

_TELLING = (*LOADING_STATES, ServableState.START, ServableState.DRAINING, ServableState.END)
"""States by how well they tell why a model is not ready, best first. FAILED comes after all of
them, for a failed version says little while an older one is loaded in its place."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class VersionEntry(Generic[L]):
    """One version. ``state`` is written by ``VersionTable.set_state`` alone."""

    stored: StoredVersion
    state: ServableState = ServableState.START
    reason: str | None = None  # set exactly while FAILED
    manifest: Manifest | None = None
    live: L | None = None  # set exactly while AVAILABLE
    last_reason: str | None = None  # why it FAILED the last time, which may be over
    failures: int = 0  # in a row
    retry_at_s: float | None = None  # when to try again though nothing has changed
    signature: Signature = ()  # of the folder, when it was last loaded from
    since: datetime = field(default_factory=_now)  # the last change of state

    @property
    def number(self) -> int:
        """Version number."""
        return self.stored.id.version

    def describe(self) -> str:
        """Return the state, with the reason where there is one."""
        return self.state.value if self.reason is None else f"{self.state.value}: {self.reason}"


class VersionTable(Generic[L]):
    """Bookkeeping only: no IO and no waiting. Its manager's event loop owns it.

    Attributes:
        name: The model.
        policy: Which of its versions are wanted.
        on_disk: Versions that the store has.
        store_fault: Why the store could not list them, or None.
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
        """
        self.name = name
        self.policy = policy
        self.on_disk = on_disk
        self.store_fault = store_fault
        self.is_required = True  # whether the service is unready without it
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
    def is_ready(self) -> bool:
        """Whether a version is AVAILABLE."""
        return self._default is not None

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
        failed = [entry.number for entry in self.entries if entry.state is ServableState.FAILED]
        return wanted_versions(
            self.policy,
            self.on_disk,
            failed=failed,
            pinned=self._labels.get(STABLE),
            labelled=[number for label, number in self._labels.items() if label != STABLE],
        )

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

    def superseded(self) -> list[VersionEntry[L]]:
        """Return the entries that serve although others are wanted in their place, and serve.

        None while the store shows no version or cannot be read: what is in memory may be all that
        is left of it. The default only where another one can be it.
        """
        wanted = self.wanted()
        if not self.on_disk or self.store_fault is not None:
            return []
        if not any(self._is_available(number) for number in wanted):
            return []
        has_heir = any(entry.number in wanted for entry in self._eligible())
        return [
            entry
            for entry in self.entries
            if entry.state is ServableState.AVAILABLE
            and entry.number not in wanted
            and (entry is not self._default or has_heir)
            and not self._is_kept_warm(entry)
        ]

    def _is_kept_warm(self, entry: VersionEntry[L]) -> bool:
        return entry is self._previous and self._clock() < self._previous_until_s

    def _is_available(self, number: int) -> bool:
        entry = self._entries.get(number)
        return entry is not None and entry.state is ServableState.AVAILABLE

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
        return {*by_policy, *self._labels.values()}

    def set_state(self, entry: VersionEntry[L], state: ServableState) -> None:
        """Change the state of an entry, and with it, perhaps, the default."""
        if entry.state is not state:
            entry.since = _now()
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
        pinned = self._labels.get(STABLE)
        for entry in self.entries:
            if entry.state is ServableState.AVAILABLE and (
                pinned is None or entry.number <= pinned
            ):
                yield entry

    def find(self, version: int | None, label: str | None) -> L:
        """Return what takes the traffic of a version, of a label, or of the default.

        Raises:
            ServableNotFoundError: There is no such version or label.
            ServableNotReadyError: It is known, but not AVAILABLE.
        """
        entry = self._find_labelled(label) if version is None else self._find_version(version)
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

    def _find_labelled(self, label: str | None) -> VersionEntry[L]:
        if label not in (None, STABLE):
            return self._find_version(self._labelled(label))
        if self._default is None:
            raise ServableNotReadyError(f"{self.name} is not ready: {self.why_unready()}")
        return self._default

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
        entries = self.entries
        for state in _TELLING:
            if any(entry.state is state for entry in entries):
                return state.value
        pinned = self._labels.get(STABLE)
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
