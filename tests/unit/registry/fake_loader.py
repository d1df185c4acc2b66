"""A loader that stops where it is told to and fails when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.artifacts.manifest import Manifest
from app.registry.store import StoredVersion
from app.types import ServableId, ServableState


class Gate:
    """Where a load or unload stops: it sets ``reached`` and waits for ``opened``."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def pass_through(self) -> None:
        self.reached.set()
        await self.opened.wait()


class FakeLoader:
    """Makes ``"live name:version"`` of a version.

    ``gates`` holds it at ``(id, state)``: after that state was reported, or in ``unload`` at
    DRAINING, in ``renew`` at LOADING, in ``retire`` at END. ``faults`` is raised there, after the
    gate.
    """

    def __init__(self) -> None:
        self.gates: dict[tuple[ServableId, ServableState], Gate] = {}
        self.faults: dict[tuple[ServableId, ServableState], Exception] = {}
        self.loads: list[ServableId] = []
        self.unloads: list[str] = []
        self.renewals: list[str] = []
        self.retired: list[str] = []
        self.reports: dict[ServableId, Callable[[ServableState], None]] = {}

    def hold(self, servable_id: ServableId, state: ServableState) -> Gate:
        return self.gates.setdefault((servable_id, state), Gate())

    async def load(
        self, stored: StoredVersion, manifest: Manifest, on_state: Callable[[ServableState], None]
    ) -> str:
        assert manifest.version == stored.id.version
        self.loads.append(stored.id)
        self.reports[stored.id] = on_state
        for state in (ServableState.WARMING, ServableState.TESTING):
            on_state(state)
            await self._stop_at(stored.id, state)
        return f"live {stored.id}"

    async def unload(self, live: str) -> None:
        self.unloads.append(live)
        name, version = live.split(",")[0].removeprefix("live ").split(":")
        await self._stop_at(ServableId(name, int(version)), ServableState.DRAINING)

    async def renew(self, stored: StoredVersion, manifest: Manifest, live: str) -> str:
        assert live.startswith(f"live {stored.id}")
        self.renewals.append(live)
        await self._stop_at(stored.id, ServableState.LOADING)
        return f"{live}, renewed"

    async def retire(self, live: str) -> None:
        self.retired.append(live)
        name, version = live.split(",")[0].removeprefix("live ").split(":")
        await self._stop_at(ServableId(name, int(version)), ServableState.END)

    async def _stop_at(self, servable_id: ServableId, state: ServableState) -> None:
        if gate := self.gates.get((servable_id, state)):
            await gate.pass_through()
        if fault := self.faults.get((servable_id, state)):
            raise fault
