"""Orders about traffic: canary and shadow."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from app.administration.desk import LiveTable, OrderDesk
from app.administration.orders import Order, Outcome
from app.errors import ConflictError, ServableNotFoundError, StoreNotWrittenError
from app.registry.rollout_plan import (
    LATEST,
    CanaryEnd,
    CanaryPlan,
    ShadowPlan,
    target_version,
)
from app.registry.version_table import STABLE

logger = logging.getLogger(__name__)


class TrafficOrders:
    """Changes which share of a model's traffic another version gets.

    Loop: everything runs on the manager's event loop.
    Order: each may be repeated, and then changes nothing; all are written to the store.
    Cancel: the wait ends; what was ordered goes on.
    """

    def __init__(self, desk: OrderDesk) -> None:
        """Take where orders are carried out."""
        self._desk = desk

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
        table = self._desk.table(name)
        has_pinned = plan.share > 0 and await self._pin_stable(table, plan.target)
        has_changed = await self._desk.write_plan(
            table, lambda before: before.model_copy(update={"canary": plan, "ended": None})
        )
        fields = {"target": plan.target, "share": plan.share}
        self._desk.log("canary", order, has_changed or has_pinned, model=name, **fields)
        return Outcome(has_changed or has_pinned, await self._desk.settle(order))

    async def shadow(self, name: str, plan: ShadowPlan, order: Order) -> Outcome:
        """Let another version classify a share of the images once more; share 0 ends it.

        Raises:
            ServableNotFoundError: There is no such model, version or label.
            StoreNotWrittenError: ``rollouts.json`` could not be written.
        """
        table = self._desk.table(name)
        if plan.share > 0:
            await self._require_target(table, plan.target)
        has_changed = await self._desk.write_plan(
            table, lambda before: before.model_copy(update={"shadow": plan})
        )
        fields = {"target": plan.target, "share": plan.share}
        self._desk.log("shadow", order, has_changed, model=name, **fields)
        return Outcome(has_changed, await self._desk.settle(order))

    async def end_canary(self, name: str, version: int, reason: str) -> None:
        """Keep in mind why a version is canary no longer; in memory where it cannot be written."""
        end = CanaryEnd(version=version, reason=reason, ended_at=datetime.now(UTC))
        table = self._desk.table(name)
        try:
            await self._desk.write_plan(table, lambda plan: plan.model_copy(update={"ended": end}))
        except StoreNotWrittenError as error:
            logger.error("end of canary not written", extra={"reason": str(error)})
            plan = table.plan.model_copy(update={"ended": end})
            self._desk.manager.set_plan(name, plan, is_written=False)

    async def _require_target(self, table: LiveTable, target: str) -> int | None:
        versions = await self._desk.versions(table.name)
        number = target_version(target, table.labels, versions)
        if number is not None:
            return number
        if target.isdigit() or target == LATEST:
            raise self._desk.no_version(table, target)
        raise ServableNotFoundError(f"{table.name} has no label {target!r}", code="label_not_found")

    async def _pin_stable(self, table: LiveTable, target: str) -> bool:
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
        return table.pinned is None and await self._desk.write_label(table, STABLE, default.number)
