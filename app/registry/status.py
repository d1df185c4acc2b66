"""What the manager tells about models and versions: snapshots that do not change afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic

from app.artifacts.manifest import Manifest
from app.registry.loader import L
from app.types import ServableState


@dataclass(frozen=True, slots=True)
class VersionStatus(Generic[L]):
    """One version.

    Attributes:
        version: Its number.
        state: Where it stands in its life.
        reason: Why it FAILED; None in every other state.
        manifest: Its description, from the moment it could be read.
        live: What takes its traffic; there exactly while it is AVAILABLE.
        since: When it came into its state, UTC.
    """

    version: int
    state: ServableState
    reason: str | None
    manifest: Manifest | None
    live: L | None
    since: datetime


@dataclass(frozen=True, slots=True)
class ModelStatus(Generic[L]):
    """One model.

    Attributes:
        name: Its name.
        default_version: The version that answers where none is asked for; None while none can.
        labels: Version numbers by label; ``stable`` is the default version.
        is_pinned: Whether ``stable`` was set; else the newest version takes over by itself.
        versions: Newest first: all that are, or were to be, served.
    """

    name: str
    default_version: int | None
    labels: dict[str, int]
    is_pinned: bool
    versions: tuple[VersionStatus[L], ...]
