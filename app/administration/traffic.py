"""Orders about traffic: canary and shadow."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from app.administration.desk import LiveTable, OrderDesk
from app.administration.orders import Order, Outcome
from app.errors import ConflictError, ServableNotFoundError, StoreNotWrittenError
from app.registry.rollout_plan import (
    LATEST,
    CanaryPlan,
    RolloutPlan,
    ShadowPlan,
    target_version,
)
from app.registry.version_table import STABLE


class TrafficOrders:
    """Changes which share of a model's traffic another version gets.

    Loop: everything runs on the manager's event loop.
    Order: each may be repeated, and then changes nothing; all are written to the store.
    Cancel: the wait ends; what was ordered goes on.
    """

    def __init__(self, desk: OrderDesk, thresholds: Mapping[str, Any]) -> None:
        """Take where orders are carried out, and what ends a canary where an order does not say."""
        self._desk = desk
        self._thresholds = thresholds

    async def canary(self, name: str, wanted: Mapping[str, Any], order: Order) -> Outcome:
        """Let another version answer a share of the requests that name none; share 0 ends it.

        A model whose newest version answers by default has its label ``stable`` set to that one:
        a canary that takes over by itself would be none. A canary that has ended begins anew.

        Args:
            name: The model.
            wanted: Fields of a ``CanaryPlan``; thresholds that are left out are the settings'.
            order: Who asks.

        Raises:
            ServableNotFoundError: There is no such model, version or label.
            ServableNotReadyError: No version answers by default.
            ConflictError: The target is the default version.
            StoreNotWrittenError: ``rollouts.json`` or ``labels.json`` could not be written; then
                nothing has changed.
        """
        plan = CanaryPlan(**{**self._thresholds, **wanted})
        table = self._desk.table(name)
        default = table.require_default()
        if plan.share > 0:
            number = await self._require_target(table, plan.target)
            # With `latest` the present version is the one to leave, once there is a newer one.
            if plan.target != LATEST and number == default.number:
                raise ConflictError(
                    f"version {number} of {name} answers by default; "
                    f"point {STABLE} at another version first"
                )
        replaced: list[RolloutPlan] = []

        def replace(known: RolloutPlan) -> RolloutPlan:
            replaced.append(known)
            return known.model_copy(update={"canary": plan, "ended": ()})

        ends = table.unwritten_ends
        has_changed = await self._desk.write_plan(table, replace, unwritten_ends=())
        if plan.share > 0 and table.pinned is None:
            try:
                await self._desk.write_label(table, STABLE, default.number)
            except StoreNotWrittenError:
                with contextlib.suppress(StoreNotWrittenError):
                    await self._desk.write_plan(table, lambda _: replaced[0], unwritten_ends=ends)
                raise
        self._desk.log(
            "canary", order, has_changed, model=name, target=plan.target, share=plan.share
        )
        return Outcome(has_changed, await self._desk.settle(order))

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
            table, lambda known: known.model_copy(update={"shadow": plan})
        )
        self._desk.log(
            "shadow", order, has_changed, model=name, target=plan.target, share=plan.share
        )
        return Outcome(has_changed, await self._desk.settle(order))

    async def end_canary(self, name: str, version: int, reason: str) -> None:
        """Keep in mind why a version is canary no longer; of a model that is gone nothing."""
        with contextlib.suppress(ServableNotFoundError):
            await self._desk.end_canary(self._desk.table(name), version, reason)

    async def _require_target(self, table: LiveTable, target: str) -> int:
        if target == STABLE:
            raise ConflictError(
                f"{STABLE} of {table.name} is the version that answers by default; "
                "name another version"
            )
        versions = await self._desk.versions(table.name)
        number = target_version(target, table.labels, versions)
        if number is not None:
            return number
        if target.isdigit() or target == LATEST:
            raise self._desk.no_version(table.name, target, versions)
        raise ServableNotFoundError(f"{table.name} has no label {target!r}", code="label_not_found")
