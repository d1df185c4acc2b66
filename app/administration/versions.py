"""Orders about versions: load, unload, label, roll back, look again."""

from __future__ import annotations

import re

from app.administration.desk import LiveTable, OrderDesk
from app.administration.orders import Order, Outcome
from app.errors import ConflictError, InvalidRequestError, ServableNotFoundError
from app.registry.labels import LABEL_PATTERN
from app.registry.rollout_plan import LATEST
from app.registry.version_table import STABLE
from app.types import ServableState


class VersionOrders:
    """Changes which versions are wanted, and waits until the service is in line with it.

    Loop: everything runs on the manager's event loop.
    Order: each may be repeated, and then changes nothing. Labels are written to the store; what
        loads and unloads holds in memory alone: KERASERVE_MODELS says it for good.
    Cancel: the wait ends; what was ordered goes on.
    """

    def __init__(self, desk: OrderDesk) -> None:
        """Take where orders are carried out."""
        self._desk = desk

    async def load(self, name: str, version: int | None, order: Order) -> Outcome:
        """Serve a version beside those of the policy; without one, the model by its policy.

        Raises:
            ServableNotFoundError: The store has no such model or version.
            ConflictError: The version was tried and must not be served.
        """
        is_new = name not in self._desk.manager.catalog.tables
        if is_new:
            self._desk.manager.include(name)
            await self._desk.settle(order)
            if not self._desk.table(name).on_disk:
                self._desk.manager.exclude(name)
                raise ServableNotFoundError(f"the store has no model {name!r}")
        table = self._desk.table(name)
        has_changed = table.wishes.load(version) or is_new
        self._desk.manager.retry_failed(name)
        self._desk.log("load", order, has_changed, model=name, version=version)
        is_settled = await self._desk.settle(order)
        if version is not None and is_settled:
            entry = table.get(version)
            if entry is None:
                table.wishes.loaded.discard(version)
                raise self._desk.no_version(table, version)
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
        table = self._desk.table(name)
        entry = None if version is None else table.get(version)
        if version is not None and entry is None and version not in table.on_disk:
            raise self._desk.no_version(table, version)
        is_default = entry is not None and entry is table.default
        if version is not None and is_default and not table.has_heir(version):
            raise self._no_heir(table, version)
        has_changed = table.wishes.unload(version)
        self._desk.log("unload", order, has_changed, model=name, version=version)
        is_settled = await self._desk.settle(order)
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
        table = self._desk.table(name)
        if not re.fullmatch(LABEL_PATTERN, label) or label == LATEST:
            raise InvalidRequestError(
                f"{label!r} cannot be a label: it must match {LABEL_PATTERN} and not be {LATEST}."
            )
        if version is not None and version not in await self._desk.versions(name):
            raise self._desk.no_version(table, version)
        has_changed = await self._desk.write_label(table, label, version)
        self._desk.log("label", order, has_changed, model=name, label=label, version=version)
        return Outcome(has_changed, await self._desk.settle(order))

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
        table = self._desk.table(name)
        version = table.version_before()
        has_changed = version is not None and await self._desk.write_label(table, STABLE, version)
        self._desk.log("rollback", order, has_changed, model=name, version=version or table.pinned)
        return Outcome(has_changed, await self._desk.settle(order))

    async def reload(self, order: Order) -> Outcome:
        """Look at the store now, and try again what FAILED."""
        self._desk.manager.retry_failed()
        self._desk.log("reload", order, True)
        return Outcome(True, await self._desk.settle(order))

    def _no_heir(self, table: LiveTable, version: int) -> ConflictError:
        return ConflictError(
            f"version {version} of {table.name} answers by default and no other version could; "
            "without a version the whole model is unloaded"
        )
