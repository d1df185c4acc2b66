"""One version of a model, as the registry keeps book of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic

from app.artifacts.manifest import Manifest
from app.registry.loader import L
from app.registry.store import Signature, StoredVersion
from app.types import ServableState

LOADING_STATES = (ServableState.LOADING, ServableState.WARMING, ServableState.TESTING)


def now() -> datetime:
    """Return the time that people read, UTC."""
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
    since: datetime = field(default_factory=now)  # the last change of state

    @property
    def number(self) -> int:
        """Version number."""
        return self.stored.id.version

    def describe(self) -> str:
        """Return the state, with the reason where there is one."""
        return self.state.value if self.reason is None else f"{self.state.value}: {self.reason}"
