"""A manager with everything that a test of it needs to see."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from app.registry.manager import ServableManager
from app.registry.rollout_plan import RolloutPlan
from app.registry.status import VersionStatus
from app.registry.store import ModelStore
from app.registry.version_policy import VersionPolicy
from app.types import ServableId, ServableState
from tests.factories.versions import make_version
from tests.unit.registry.fake_loader import FakeLoader


class World:
    """A manager over ``store`` with a fake loader, and every change of state that it told."""

    def __init__(
        self,
        store: ModelStore | Path,
        policies: Mapping[str, VersionPolicy] | None = None,
        *,
        allow_class_changes: bool = False,
        keep_warm_s: float = 0.0,
        default_plans: Mapping[str, RolloutPlan] | None = None,
    ) -> None:
        self.loader = FakeLoader()
        self.now_s = 0.0
        self.changes: list[tuple[str, ServableState | None]] = []
        self.defaults: list[int | None] = []  # of cifar10, one after another
        self.manager = ServableManager(
            ModelStore(store) if isinstance(store, Path) else store,
            policies,
            "cifar10",
            self.loader,
            self._on_state,
            allow_class_changes=allow_class_changes,
            keep_warm_s=keep_warm_s,
            default_plans=default_plans,
            clock=lambda: self.now_s,
        )

    def _on_state(self, servable_id: ServableId, state: ServableState | None) -> None:
        self.changes.append((str(servable_id), state))
        table = self.manager.catalog.tables.get("cifar10")
        default = None if table is None or table.default is None else table.default.number
        if not self.defaults or self.defaults[-1] != default:
            self.defaults.append(default)

    def states(self, name: str = "cifar10") -> dict[int, ServableState]:
        return {version.version: version.state for version in self.versions(name)}

    def versions(self, name: str = "cifar10") -> tuple[VersionStatus[str], ...]:
        [versions] = [s.versions for s in self.manager.catalog.statuses() if s.name == name]
        return versions


def cifar10(version: int) -> ServableId:
    return ServableId("cifar10", version)


async def serving(tmp_path: Path, policy: VersionPolicy | None = None, versions: int = 1) -> World:
    """A world that serves ``cifar10:1`` to ``cifar10:versions``, as far as the policy wants."""
    for version in range(1, versions + 1):
        make_version(tmp_path, version=version)
    world = World(tmp_path, None if policy is None else {"cifar10": policy})
    await world.manager.reconcile()
    world.changes.clear()
    world.loader.loads.clear()
    return world


async def settled() -> None:
    """Let versions that end do so: they have tasks of their own."""
    for _ in range(10):
        await asyncio.sleep(0)
