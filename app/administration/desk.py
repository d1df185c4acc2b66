"""Writes what was ordered to the store and to memory, and waits until the service is in line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from app.administration.orders import Order
from app.errors import (
    ArtifactError,
    ServableNotFoundError,
    ServableNotReadyError,
    StoreNotWrittenError,
)
from app.inference.live import LiveServable
from app.keeping import StoreKeeper
from app.registry.labels import set_label
from app.registry.manager import ServableManager
from app.registry.model_names import is_model_name
from app.registry.rollout_file import change_rollout
from app.registry.rollout_plan import CanaryEnd, RolloutPlan
from app.registry.store import ModelStore
from app.registry.version_table import VersionTable
from app.types import ServableId

logger = logging.getLogger(__name__)

T = TypeVar("T")

LiveTable = VersionTable[LiveServable]


class OrderDesk:
    """What all orders have in common.

    Loop: everything runs on the manager's event loop; files are written in threads.
    Write: what is written to the store is taken over in memory at once, in the order in which it
        was written; what could not be written has not happened.
    Wait: a look at the store that began after the order brings the service in line with it. Who
        stops waiting, or is cancelled, leaves it alone.
    Log: one line per order, with who gave it.

    Attributes:
        manager: Brings versions in and out.
    """

    def __init__(
        self, manager: ServableManager[LiveServable], keeper: StoreKeeper, store: ModelStore
    ) -> None:
        """Take whom to instruct."""
        self.manager = manager
        self._keeper = keeper
        self._store = store
        self._writing = asyncio.Lock()  # what was written last is also taken over last

    def table(self, name: str) -> LiveTable:
        """Return the book of a model.

        Raises:
            ServableNotFoundError: There is no such model.
            ServableNotReadyError: The store has not been looked at.
        """
        return self.manager.catalog.table(name)

    async def settle(
        self, order: Order, *, after: ServableId | None = None, needs_store: bool = True
    ) -> bool:
        """Bring the service in line, and return whether that was done within the order's wait.

        Args:
            order: Says how long to wait.
            after: A version that may still drain; what has not ended cannot be loaded again.
            needs_store: Whether nothing is done where the store cannot be seen.

        Raises:
            BatcherStoppedError: The service stops.
            ServableNotReadyError: The look failed, or it saw nothing of the store.
        """
        try:
            async with asyncio.timeout(order.wait_s):
                if after is not None:
                    await self.manager.ended(after)
                await self._keeper.look()
        except TimeoutError:
            return False
        if needs_store and self.manager.look_fault is not None:
            raise ServableNotReadyError(f"the store was not seen: {self.manager.look_fault}")
        return True

    async def versions(self, name: str) -> tuple[int, ...]:
        """Return the versions of a model that the store has now, newest first; or none."""
        return await asyncio.to_thread(self._store.versions, name) if is_model_name(name) else ()

    async def write_label(self, table: LiveTable, label: str, version: int | None) -> bool:
        """Point a label at a version, or with None take it away; return whether that is news.

        Raises:
            StoreNotWrittenError: ``labels.json`` could not be written.
        """
        async with self._writing:
            before = dict(table.labels)
            labels = await _written(set_label, self._store.root, table.name, label, version)
            if version is not None:
                table.wishes.prepared.discard(version)  # the label keeps it from here on
            self.manager.set_labels(table.name, labels)
        return before != labels

    async def write_plan(
        self,
        table: LiveTable,
        change: Callable[[RolloutPlan], RolloutPlan],
        *,
        unwritten_ends: tuple[CanaryEnd, ...] | None = None,
    ) -> bool:
        """Change what the traffic of a model is meant to do; return whether that is news.

        Args:
            table: The model.
            change: Makes the new plan of the one in the store.
            unwritten_ends: In place of those that are in memory alone, once it is written; None
                leaves them.

        Raises:
            StoreNotWrittenError: ``rollouts.json`` could not be written.
        """
        async with self._writing:
            before = table.plan
            plan = await _written(change_rollout, self._store.root, table.name, change)
            if unwritten_ends is not None:
                table.unwritten_ends = unwritten_ends
            self.manager.set_plan(table.name, plan)
        return before != table.plan

    async def end_canary(self, table: LiveTable, version: int, reason: str) -> None:
        """Keep in mind why a version is canary no longer; in memory where it cannot be written."""
        end = CanaryEnd(version=version, reason=reason, ended_at=datetime.now(UTC))
        try:
            await self.write_plan(table, lambda plan: plan.with_ends(end))
        except StoreNotWrittenError as error:
            logger.error("end of canary not written", extra={"reason": str(error)})
            table.unwritten_ends = (*table.unwritten_ends, end)
            table.plan = table.plan.with_ends(end)

    def no_version(
        self, name: str, version: int | str, versions: Iterable[int]
    ) -> ServableNotFoundError:
        """Make the error of a version that is not among those of the store."""
        known = ", ".join(map(str, versions)) or "none"
        return ServableNotFoundError(
            f"the store has no version {version} of {name}; it has: {known}",
            code="version_not_found",
        )

    def log(self, action: str, order: Order, has_changed: bool, **fields: object) -> None:
        """Tell who ordered what; fields that are None are left out."""
        given = {name: value for name, value in fields.items() if value is not None}
        known = {"action": action, "by": order.by, "request_id": order.request_id}
        logger.info("administered", extra=known | given | {"changed": has_changed})


async def _written(write: Callable[..., T], *args: object) -> T:
    try:
        return await asyncio.to_thread(write, *args)
    except ArtifactError as error:
        raise StoreNotWrittenError(str(error)) from error
