"""Orders about versions: load, unload, label, roll back, look again."""

from __future__ import annotations

from app.administration.desk import LiveTable, OrderDesk
from app.administration.orders import Order, Outcome
from app.errors import (
    ConflictError,
    InvalidRequestError,
    ServableNotFoundError,
    ServingError,
)
from app.registry.labels import LABEL_RULE, is_label
from app.registry.version_table import STABLE
from app.types import ServableId, ServableState


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
            ConflictError: The version, or every one of the model, must not be served.
        """
        versions = await self._desk.versions(name)
        is_new = name not in self._desk.manager.catalog.tables
        if is_new and not versions:
            raise ServableNotFoundError(f"the store has no model {name!r}")
        if version is not None and version not in versions:
            raise self._desk.no_version(name, version, versions)
        if is_new:
            self._desk.manager.include(name)
            if not await self._desk.settle(order):
                return Outcome(True, is_settled=False)  # asked again, it is loaded or known
        table = self._desk.table(name)
        has_changed = table.wishes.load(version) or is_new
        self._desk.manager.retry_failed(name)
        self._desk.log("load", order, has_changed, model=name, version=version)
        after = None if version is None else ServableId(name, version)
        is_settled = await self._desk.settle(order, after=after)
        if is_settled and version is not None:
            self._require_servable(table, version)
        elif is_settled and table.default is None:
            raise ConflictError(f"{name} cannot be served: {table.why_unready()}")
        return Outcome(has_changed, is_settled)

    def _require_servable(self, table: LiveTable, version: int) -> None:
        entry = table.get(version)
        if entry is None:  # gone from the store meanwhile
            table.wishes.loaded.discard(version)
            raise self._desk.no_version(table.name, version, table.on_disk)
        if entry.state is not ServableState.AVAILABLE:
            raise ConflictError(f"{entry.stored.id} is {entry.describe()}")

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
            raise self._desk.no_version(name, version, table.on_disk)
        is_default = entry is not None and entry is table.default
        if version is not None and is_default and not table.has_heir(version):
            raise _no_heir(name, version)
        has_changed = table.wishes.unload(version)
        self._desk.log("unload", order, has_changed, model=name, version=version)
        is_settled = await self._desk.settle(order, needs_store=False)
        if is_settled and version is not None and entry is not None and entry is table.default:
            table.wishes.unloaded.discard(version)
            raise _no_heir(name, version)
        return Outcome(has_changed, is_settled)

    async def label(self, name: str, label: str, version: int | None, order: Order) -> Outcome:
        """Point a label at a version; None takes the label away.

        A version that does not serve yet is loaded first: a label never points at one that cannot
        serve. Where that takes longer than the order's wait, nothing is labelled, and the order is
        to be given again.

        Raises:
            InvalidRequestError: The label cannot be one.
            ServableNotFoundError: There is no such model, or the store has no such version.
            ConflictError: The version must not be served, or the model was unloaded.
            StoreNotWrittenError: ``labels.json`` could not be written.
        """
        table = self._desk.table(name)
        if not is_label(label):
            raise InvalidRequestError(f"{label!r} cannot be a label: {LABEL_RULE}.")
        if version is None:
            has_changed = await self._desk.write_label(table, label, None)
        elif await self._prepare(table, version, order):
            has_changed = await self._desk.write_label(table, label, version)
        else:
            return Outcome(has_changed=False, is_settled=False)
        self._desk.log("label", order, has_changed, model=name, label=label, version=version)
        return Outcome(has_changed, await self._desk.settle(order))

    async def roll_back(self, name: str, order: Order) -> Outcome:
        """Let the version answer by default that did so before, and stay with it.

        The label ``stable`` is pointed at it. While it is kept warm (KERASERVE_KEEP_WARM_S) this
        takes effect before the answer; else it is loaded first, as for ``label``. The version that
        is left is canary no longer. Ordered again, nothing changes.

        Raises:
            ServableNotFoundError: There is no such model.
            ServableNotReadyError: No version answers by default.
            ConflictError: There is nothing to go back to, or it must not be served.
            StoreNotWrittenError: ``labels.json`` could not be written.
        """
        table = self._desk.table(name)
        left, version = table.require_default().number, table.version_before()
        has_changed = False
        if version is not None:
            if not await self._prepare(table, version, order):
                return Outcome(has_changed=False, is_settled=False)
            has_changed = await self._desk.write_label(table, STABLE, version)
            if table.plan.canary is not None:
                await self._desk.end_canary(table, left, "it was rolled back from")
        self._desk.log("rollback", order, has_changed, model=name, version=version or table.pinned)
        return Outcome(has_changed, await self._desk.settle(order))

    async def reload(self, order: Order) -> Outcome:
        """Look at the store now, and try again what FAILED.

        Raises:
            ServableNotReadyError: The store was not seen.
        """
        self._desk.manager.retry_failed()
        self._desk.log("reload", order, True)
        return Outcome(True, await self._desk.settle(order))

    async def _prepare(self, table: LiveTable, version: int, order: Order) -> bool:
        """Load a version for its label; return whether it serves. Else it goes on loading."""
        entry = table.get(version)
        if entry is not None and entry.state is ServableState.AVAILABLE:
            return True
        versions = await self._desk.versions(table.name)
        if version not in versions:
            raise self._desk.no_version(table.name, version, versions)
        if table.wishes.is_off:
            raise ConflictError(f"{table.name} was unloaded; load it first")
        table.wishes.unloaded.discard(version)
        table.wishes.prepared.add(version)
        self._desk.manager.retry_failed(table.name)
        try:
            if not await self._desk.settle(order, after=ServableId(table.name, version)):
                return False
            self._require_servable(table, version)
        except ServingError:
            table.wishes.prepared.discard(version)
            raise
        return True


def _no_heir(name: str, version: int) -> ConflictError:
    return ConflictError(
        f"version {version} of {name} answers by default and no other version could; "
        "without a version the whole model is unloaded"
    )
