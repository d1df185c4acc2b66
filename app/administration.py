"""What an administrator may ask for: load, unload, label, roll back, look again, canary, shadow."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from app.errors import (
    ArtifactError,
    ConflictError,
    InvalidRequestError,
    ServableNotFoundError,
    StoreNotWrittenError,
)
from app.inference.live import LiveServable
from app.keeping import StoreKeeper
from app.registry.labels import LABEL_PATTERN, set_label
from app.registry.manager import ServableManager
from app.registry.rollout_file import change_rollout
from app.registry.rollout_plan import (
    LATEST,
    CanaryEnd,
    CanaryPlan,
    RolloutPlan,
    ShadowPlan,
    target_version,
)
from app.registry.store import ModelStore
from app.registry.version_table import STABLE, VersionTable
from app.types import ServableState

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks, and how long they wait.

    Attributes:
        by: Name of the caller, for the log.
        request_id: Of the request, for the log.
        wait_s: How long to wait for what was asked for; it goes on afterwards.
    """

    by: str
    request_id: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order.

    Attributes:
        has_changed: Whether it asked for something new; an order that is repeated does not.
        is_settled: Whether the service has brought itself in line with it; else it still loads.
    """

    has_changed: bool
    is_settled: bool


class Administrator:
    """Changes what is wanted, and waits until the service is in line with it.

    Loop: everything runs on the manager's event loop; files are written in threads.
    Order: each may be repeated, and then changes nothing. What it changed takes effect in memory
        at once, and is written to the store where it is to outlast the process: labels, canary and
        shadow. What loads and unloads is not: KERASERVE_MODELS says it for good.
    Failure: what could not be written has not happened.
    Cancel: the wait ends; what was ordered goes on.
    Log: one line per order, with who gave it.
    """

    def __init__(
        self, manager: ServableManager[LiveServable], keeper: StoreKeeper, store: ModelStore
    ) -> None:
        """Take whom to instruct."""
        self._manager = manager
        self._catalog = manager.catalog
        self._keeper = keeper
        self._store = store
        self._writing = asyncio.Lock()  # what was written last is also taken over last

    async def load(self, name: str, version: int | None, order: Order) -> Outcome:
        """Serve a version beside those of the policy; without one, the model by its policy.

        Raises:
            ServableNotFoundError: The store has no such model or version.
            ConflictError: The version was tried and must not be served.
        """
        is_new = name not in self._catalog.tables
        if is_new:
            self._manager.include(name)
            await self._settle(order)
            if not self._table(name).on_disk:
                self._manager.exclude(name)
                raise ServableNotFoundError(f"the store has no model {name!r}")
        table = self._table(name)
        has_changed = table.wishes.load(version) or is_new
        self._manager.retry_failed(name)
        self._log("load", order, has_changed, model=name, version=version)
        is_settled = await self._settle(order)
        if version is not None and is_settled:
            entry = table.get(version)
            if entry is None:
                table.wishes.loaded.discard(version)
                raise self._no_version(table, version)
            if entry.state is ServableState.FAILED:
                raise ConflictError(f"{entry.stored.id} is {entry.describe()}")
        return Outcome(has_changed, is_settled)

    async def unload(self, name: str, version: int | None, order: Order) -> Outcome:
        """Stop serving a version, or the whole model, whatever the policy says.

        What was accepted is finished. It holds until the opposite is ordered, or the process ends.

        Raises:
            ServableNotFoundError: There is no such model or version.
            ConflictError: It answers by default, and nothing else could.
        """
        table = self._table(name)
        entry = None if version is None else table.get(version)
        if version is not None and entry is None and version not in table.on_disk:
            raise self._no_version(table, version)
        is_default = entry is not None and entry is table.default
        if version is not None and is_default and not table.has_heir(version):
            raise self._no_heir(table, version)
        has_changed = table.wishes.unload(version)
        self._log("unload", order, has_changed, model=name, version=version)
        is_settled = await self._settle(order)
        if is_settled and version is not None and entry is not None and entry is table.default:
            table.wishes.unloaded.discard(version)
            raise self._no_heir(table, version)
        return Outcome(has_changed, is_settled)

    async def label(self, name: str, label: str, version: int | None, order: Order) -> Outcome:
        """Point a label at a version, which is loaded for it; None takes the label away.

        Raises:
            InvalidRequestError: The label cannot be one.
            ServableNotFoundError: There is no such model, or the store has no such version.
            StoreNotWrittenError: ``labels.json`` could not be written.
        """
        table = self._table(name)
        if not re.fullmatch(LABEL_PATTERN, label) or label == LATEST:
            raise InvalidRequestError(
                f"{label!r} cannot be a label: it must match {LABEL_PATTERN} and not be {LATEST}."
            )
        if version is not None and version not in await self._versions(name):
            raise self._no_version(table, version)
        has_changed = await self._write_label(table, label, version)
        self._log("label", order, has_changed, model=name, label=label, version=version)
        return Outcome(has_changed, await self._settle(order))

    async def roll_back(self, name: str, order: Order) -> Outcome:
        """Let the version answer by default that did so before, and stay with it.

        The label ``stable`` is pointed at it. While it is kept warm (KERASERVE_KEEP_WARM_S) this
        takes effect before the answer; else as soon as it is loaded. Ordered again, nothing
        changes.

        Raises:
            ServableNotFoundError: There is no such model.
            ServableNotReadyError: No version answers by default.
            ConflictError: There is nothing to go back to.
            StoreNotWrittenError: ``labels.json`` could not be written.
        """
        table = self._table(name)
        version = table.version_before()
        has_changed = version is not None and await self._write_label(table, STABLE, version)
        self._log("rollback", order, has_changed, model=name, version=version or table.pinned)
        return Outcome(has_changed, await self._settle(order))

    async def reload(self, order: Order) -> Outcome:
        """Look at the store now, and try again what FAILED."""
        self._manager.retry_failed()
        self._log("reload", order, True)
        return Outcome(True, await self._settle(order))

    async def canary(self, name: str, plan: CanaryPlan, order: Order) -> Outcome:
        """Let another version answer a share of the requests that name none; share 0 ends it.

        A model whose newest version answers by default has its label ``stable`` set to that one:
        a canary that takes over by itself would be none. A canary that has ended begins anew.

        Raises:
            ServableNotFoundError: There is no such model, version or label.
            ServableNotReadyError: No version answers by default.
            ConflictError: The target is the default version.
            StoreNotWrittenError: ``rollouts.json`` or ``labels.json`` could not be written.
        """
        table = self._table(name)
        has_pinned = plan.share > 0 and await self._pin_stable(table, plan.target)
        has_changed = await self._write_plan(
            table, lambda before: before.model_copy(update={"canary": plan, "ended": None})
        )
        fields = {"target": plan.target, "share": plan.share}
        self._log("canary", order, has_changed or has_pinned, model=name, **fields)
        return Outcome(has_changed or has_pinned, await self._settle(order))

    async def shadow(self, name: str, plan: ShadowPlan, order: Order) -> Outcome:
        """Let another version classify a share of the images once more; share 0 ends it.

        Raises:
            ServableNotFoundError: There is no such model, version or label.
            StoreNotWrittenError: ``rollouts.json`` could not be written.
        """
        table = self._table(name)
        if plan.share > 0:
            await self._require_target(table, plan.target)
        has_changed = await self._write_plan(
            table, lambda before: before.model_copy(update={"shadow": plan})
        )
        fields = {"target": plan.target, "share": plan.share}
        self._log("shadow", order, has_changed, model=name, **fields)
        return Outcome(has_changed, await self._settle(order))

    async def end_canary(self, name: str, version: int, reason: str) -> None:
        """Keep in mind why a version is canary no longer; in memory where it cannot be written."""
        end = CanaryEnd(version=version, reason=reason, ended_at=datetime.now(UTC))
        table = self._table(name)
        try:
            await self._write_plan(table, lambda plan: plan.model_copy(update={"ended": end}))
        except StoreNotWrittenError as error:
            logger.error("end of canary not written", extra={"reason": str(error)})
            plan = table.plan.model_copy(update={"ended": end})
            self._manager.set_plan(name, plan, is_written=False)

    # ---- parts --------------------------------------------------------------------------------

    def _table(self, name: str) -> VersionTable[LiveServable]:
        return self._catalog.table(name)

    async def _settle(self, order: Order) -> bool:
        try:
            async with asyncio.timeout(order.wait_s):
                await self._keeper.look()
        except TimeoutError:
            return False
        return True

    async def _versions(self, name: str) -> tuple[int, ...]:
        return await asyncio.to_thread(self._store.versions, name)

    async def _require_target(self, table: VersionTable[LiveServable], target: str) -> int | None:
        versions = await self._versions(table.name)
        number = target_version(target, table.labels, versions)
        if number is not None:
            return number
        if target.isdigit() or target == LATEST:
            raise self._no_version(table, target)
        raise ServableNotFoundError(f"{table.name} has no label {target!r}", code="label_not_found")

    async def _pin_stable(self, table: VersionTable[LiveServable], target: str) -> bool:
        number = await self._require_target(table, target)
        default = table.default
        if default is None:
            table.find(None, None)  # raises: says why nothing answers
            raise AssertionError("a model without a default version answers nothing")
        # With `latest` the present version is the one to leave, once there is a newer one.
        if target != LATEST and number == default.number:
            raise ConflictError(
                f"version {number} of {table.name} answers by default; "
                f"point {STABLE} at another version first"
            )
        return table.pinned is None and await self._write_label(table, STABLE, default.number)

    async def _write_label(
        self, table: VersionTable[LiveServable], label: str, version: int | None
    ) -> bool:
        async with self._writing:
            before = dict(table.labels)
            labels = await _written(set_label, self._store.root, table.name, label, version)
            if version is not None:
                table.wishes.unloaded.discard(version)
            self._manager.set_labels(table.name, labels)
        return before != labels

    async def _write_plan(
        self, table: VersionTable[LiveServable], change: Callable[[RolloutPlan], RolloutPlan]
    ) -> bool:
        async with self._writing:
            before = table.plan
            plan = await _written(change_rollout, self._store.root, table.name, change)
            self._manager.set_plan(table.name, plan, is_written=True)
        return before != table.plan

    def _no_version(
        self, table: VersionTable[LiveServable], version: int | str
    ) -> ServableNotFoundError:
        known = ", ".join(map(str, table.on_disk)) or "none"
        return ServableNotFoundError(
            f"the store has no version {version} of {table.name}; it has: {known}",
            code="version_not_found",
        )

    def _no_heir(self, table: VersionTable[LiveServable], version: int) -> ConflictError:
        return ConflictError(
            f"version {version} of {table.name} answers by default and no other version could; "
            "without a version the whole model is unloaded"
        )

    def _log(self, action: str, order: Order, has_changed: bool, **fields: object) -> None:
        given = {name: value for name, value in fields.items() if value is not None}
        known = {"action": action, "by": order.by, "request_id": order.request_id}
        logger.info("administered", extra=known | given | {"changed": has_changed})


async def _written(write: Callable[..., T], *args: object) -> T:
    try:
        return await asyncio.to_thread(write, *args)
    except ArtifactError as error:
        raise StoreNotWrittenError(str(error)) from error
