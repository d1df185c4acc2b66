"""Brings versions in and out, and says which of them answers a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Generic

from app.artifacts.checksums import verify_files
from app.errors import (
    ArtifactError,
    MalformedRequestError,
    ServableNotFoundError,
    ServableNotReadyError,
    ServingError,
)
from app.registry.loader import L, Loader
from app.registry.status import ModelStatus
from app.registry.store import ModelStore
from app.registry.version_policy import Latest, VersionPolicy, aspired_versions
from app.registry.version_table import LOADING_STATES, VersionEntry, VersionTable
from app.types import ServableId, ServableState

logger = logging.getLogger(__name__)


class ServableManager(Generic[L]):
    """Holds all versions of all models.

    Loop: every method runs on one event loop, which owns all attributes; there are no locks. Only
        listing folders, reading manifests and comparing checksums run in a worker thread, and
        they touch no attribute but the store, which has no state.
    Load: one version at a time, models one after another, each newest first. A version is served
        only after its checksums were right and the loader returned.
    Resolve: never waits; it looks up two dictionaries and gives what is AVAILABLE, or raises.
    Default: the highest AVAILABLE version of a model, changed by ``VersionTable.set_state`` alone,
        in one step between two calls of ``resolve``.
    Failure: whatever is wrong with a version makes it FAILED with a reason. Under ``Latest`` the
        next older version on disk is tried, until enough are AVAILABLE or none is left. No fault
        of a version or a model keeps others from being loaded, or leaves ``load_all``.
    Cancel: cancelling ``load_all`` makes the version in hand FAILED; those AVAILABLE stay.
    Unload: all versions refuse traffic before the first is waited for; they end concurrently.
    Bound: a load takes as long as reading its files and the loader, an unload as the loader. Both
        may be cancelled; a checksum that is being computed then still ends in its thread.
    """

    def __init__(
        self,
        store: ModelStore,
        policies: Mapping[str, VersionPolicy] | None,
        default_model: str,
        loader: Loader[L],
        on_state: Callable[[ServableId, ServableState], None],
    ) -> None:
        """Take the parts; nothing is read or loaded yet.

        Args:
            store: What is on disk.
            policies: The required models (KERASERVE_MODELS); None for all in the store, with
                their latest version each.
            default_model: The model that answers where none is named (KERASERVE_DEFAULT_MODEL).
            loader: Makes what takes the traffic of a version.
            on_state: Called on the event loop after each change of state, START included; must
                neither block nor raise.
        """
        self.default_model = default_model
        self._store = store
        self._policies = policies
        self._loader = loader
        self._on_state = on_state
        self._tables: dict[str, VersionTable[L]] = {}
        self._fault: str | None = "loading has not begun"  # why no model is known

    async def load_all(self) -> None:
        """Look at the store once and load what the policies ask for. Called once.

        Raises nothing but its own cancellation: faults become FAILED and ``unready_reasons``.
        """
        try:
            tables = await asyncio.to_thread(self._look)
        except ArtifactError as error:
            self._fault = str(error)
            logger.error("store not listed", extra={"reason": self._fault})
            return
        self._fault = None
        self._tables = {table.name: table for table in tables}
        for table in tables:  # all are known before the first is loaded, so that none is missed
            for number in aspired_versions(table.policy, table.on_disk):
                self._add(table, number)
        for table in tables:
            while (wanted := table.next_to_load()) is not None:
                await self._load(table, self._add(table, wanted))
        if self.default_model not in self._tables:
            fields = {"model": self.default_model, "models": sorted(self._tables)}
            logger.warning("default model is not among the models", extra=fields)

    def _look(self) -> list[VersionTable[L]]:
        policies = self._policies
        if policies is None:
            policies = {name: Latest() for name in self._store.models()}
        tables = []
        for name, policy in policies.items():
            try:
                table = VersionTable[L](name, policy, self._store.versions(name))
            except ArtifactError as error:
                table = VersionTable[L](name, policy, store_fault=str(error))
            tables.append(table)
        return tables

    def _add(self, table: VersionTable[L], number: int) -> VersionEntry[L]:
        entry = table.get(number)
        if entry is None:
            entry = table.add(self._store.locate(ServableId(table.name, number)))
            self._on_state(entry.stored.id, entry.state)
        return entry

    async def _load(self, table: VersionTable[L], entry: VersionEntry[L]) -> None:
        self._move(table, entry, ServableState.LOADING)
        stored = entry.stored
        try:
            manifest = await asyncio.to_thread(self._store.read, stored.id)
            entry.manifest = manifest  # before the checksums: shown beside their failure
            await asyncio.to_thread(verify_files, stored.folder, manifest)
            on_state = partial(self._report, table, entry)
            live = await self._loader.load(stored, manifest, on_state)
        except Exception as error:
            self._fail(table, entry, error)
        except BaseException as error:
            self._fail(table, entry, error)
            raise
        else:
            entry.live = live
            self._move(table, entry, ServableState.AVAILABLE)

    def _report(self, table: VersionTable[L], entry: VersionEntry[L], state: ServableState) -> None:
        if state not in LOADING_STATES:
            raise ValueError(f"a loader cannot report {state}")
        order = LOADING_STATES.index
        if entry.state in LOADING_STATES and order(state) > order(entry.state):
            self._move(table, entry, state)

    def _fail(self, table: VersionTable[L], entry: VersionEntry[L], error: BaseException) -> None:
        exc_info = None
        if isinstance(error, ServingError):
            entry.reason = str(error)
        elif isinstance(error, asyncio.CancelledError):
            entry.reason = "loading was cancelled"
        else:  # the text of a foreign exception is not known to be fit for callers
            entry.reason = f"{type(error).__name__}, see the log of the server"
            exc_info = error
        fields = {"model": table.name, "version": entry.number, "reason": entry.reason}
        logger.error("version failed", extra=fields, exc_info=exc_info)
        table.set_state(entry, ServableState.FAILED)
        self._on_state(entry.stored.id, ServableState.FAILED)

    def _move(self, table: VersionTable[L], entry: VersionEntry[L], state: ServableState) -> None:
        table.set_state(entry, state)
        fields = {"model": table.name, "version": entry.number, "state": state.value}
        logger.info("version changed state", extra=fields)
        self._on_state(entry.stored.id, state)

    def resolve(
        self, name: str | None = None, version: int | None = None, label: str | None = None
    ) -> L:
        """Return what takes the traffic of a version.

        Args:
            name: The model; None for the default model.
            version: The version; None for the default version.
            label: A label instead of a version.

        Raises:
            MalformedRequestError: Both a version and a label are given.
            ServableNotFoundError: There is no such model, version or label.
            ServableNotReadyError: It is known, but not AVAILABLE.
        """
        if version is not None and label is not None:
            raise MalformedRequestError(f"version {version} and label {label!r}: give one of them")
        name = self.default_model if name is None else name
        table = self._tables.get(name)
        if table is None:
            raise self._unknown_model(name)
        return table.find(version, label)

    def _unknown_model(self, name: str) -> ServingError:
        if self._fault is not None:
            return ServableNotReadyError(f"no model is known: {self._fault}")
        known = ", ".join(sorted(self._tables)) or "none"
        return ServableNotFoundError(
            f"there is no model {name!r}; there is: {known}", code="model_not_found"
        )

    def statuses(self) -> tuple[ModelStatus[L], ...]:
        """Return a snapshot of all models that are, or are to be, served."""
        return tuple(table.status() for table in self._tables.values())

    def unready_reasons(self) -> list[str]:
        """Return why requests cannot be answered yet; empty if every model can answer.

        Never empty while no model is known: nothing to serve is no reason to be ready.
        """
        if not self._tables:
            return [self._fault or f"no model found in {self._store.root} (KERASERVE_MODEL_DIR)"]
        unready = (table for table in self._tables.values() if not table.is_ready)
        return [f"{table.name}: {table.why_unready()}" for table in unready]

    async def unload_all(self) -> None:
        """End every version, all concurrently; one that cannot end properly becomes FAILED.

        Called after ``load_all`` has ended or was cancelled and awaited.
        """
        ending = []
        for table in self._tables.values():
            for entry in table.entries:
                live, entry.live = entry.live, None
                if live is not None:
                    self._move(table, entry, ServableState.DRAINING)
                    ending.append(self._unload(table, entry, live))
                elif entry.state is ServableState.START:
                    self._move(table, entry, ServableState.END)
        await asyncio.gather(*ending)

    async def _unload(self, table: VersionTable[L], entry: VersionEntry[L], live: L) -> None:
        try:
            await self._loader.unload(live)
        except Exception as error:
            self._fail(table, entry, error)
        else:
            self._move(table, entry, ServableState.END)
