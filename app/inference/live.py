"""One loaded version with everything a request needs of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.artifacts.manifest import Manifest
from app.batching.batcher import DynamicBatcher
from app.drift.window import DriftWindow
from app.inference.coalescing import ReusingScheduler
from app.inference.leases import Leases
from app.metrics import ServableMetrics
from app.types import EngineInfo, InputSpec, Servable, ServableId


@dataclass(frozen=True, slots=True)
class LiveServable:
    """An AVAILABLE version: its identity and contract, its engine and batcher, and who needs it.

    ``window`` remembers what it answered; None where drift is not observed. ``reuse`` stands
    before the batcher and computes nothing twice; None where it may.
    """

    id: ServableId
    manifest: Manifest
    spec: InputSpec
    servable: Servable
    batcher: DynamicBatcher
    metrics: ServableMetrics
    leases: Leases = field(default_factory=Leases)
    window: DriftWindow | None = None
    reuse: ReusingScheduler | None = None

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        return self.servable.info
