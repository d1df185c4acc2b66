"""Brings versions in and out, and says which of them answers a request."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Generic

from app.artifacts.checksums import verify_files
from app.artifacts.manifest import Manifest
from app.errors import (
    ArtifactError,
    MalformedRequestError,
    ServableNotFoundError,
    ServableNotReadyError,
    ServingError,
)
from app.registry.loader import L, Loader
from app.registry.status import ModelStatus
from app.registry.store import ModelStore, Signature
from app.registry.store_view import Sight, StoreView
from app.registry.version_policy import VersionPolicy
from app.registry.version_table import LOADING_STATES, VersionEntry, VersionTable
from app.types import ServableId, ServableState

logger = logging.getLogger(__name__)

_FIRST_RETRY_S, _LAST_RETRY_S = 30.0, 3600.0
"""After a failure that is not the version's own, such as too little memory; doubled each time."""


class ServableManager(Generic[L]):
    """Holds all versions of all models.

    Loop: every method runs on one event loop, which owns all attributes; there are no locks. Only
        listing folders, reading manifests and comparing checksums run in a worker thread, and
        they touch no attribute but the store, which has no state.
    Load: one version at a time, models one after another, each newest first. A version is served
        only after its checksums were right and the loader returned.
    Swap: a newer version takes over in the step in which it becomes AVAILABLE; only then those that
        it supersedes begin to drain. What is served goes on being served while the store shows
        nothing better: a store that is gone, unreadable or full of broken versions ends nothing.
    Resolve: never waits; it looks up two dictionaries and gives what is AVAILABLE, or raises.
    Default: the highest AVAILABLE version of a model, but for none above the one that the label
        ``stable`` pins; changed by its ``VersionTable`` alone, in one step between two calls of
        ``resolve``.
    Failure: whatever is wrong with a version makes it FAILED with a reason. Under ``Latest`` the
        next older version on disk is tried, until enough are AVAILABLE or none is left. It is tried
        again when its folder has changed. No fault of a version or a model keeps others from being
        loaded, or leaves ``reconcile``.
    Cancel: cancelling ``reconcile`` makes the version in hand FAILED; those AVAILABLE stay, and
        those that drain go on.
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
        on_state: Callable[[ServableId, ServableState | None], None],
        *,
        allow_class_changes: bool = False,
        keep_warm_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts; nothing is read or loaded yet.

        Args:
            store: What is on disk.
            policies: The required models (KERASERVE_MODELS); None for all in the store, with
                their latest version each.
            default_model: The model that answers where none is named (KERASERVE_DEFAULT_MODEL).
            loader: Makes what takes the traffic of a version.
            on_state: Called on the event loop after each change of state, START included, and with
                None when a version is forgotten; must neither block nor raise.
            allow_class_changes: Whether a version may take over from one with other classes.
            keep_warm_s: How long the previous default version of a model goes on serving.
            clock: Monotonic seconds.
        """
        self.default_model = default_model
        self._store = store
        self._view = StoreView(store, policies)
        self._takes_all_models = policies is None
        self._loader = loader
        self._on_state = on_state
        self._allow_class_changes = allow_class_changes
        self._keep_warm_s = keep_warm_s
        self._clock = clock
        self._has_warned_of_default = False
        self._has_looked = False
        self._ending: set[asyncio.Task[None]] = set()
        self._tables: dict[str, VersionTable[L]] = {}
        self._fault: str | None = "loading has not begun"  # why no model is known

    async def reconcile(self) -> None:
        """Look at the store, and bring what is served in line with it and the policies.

        Called again and again, by one task. Raises nothing but its own cancellation: faults become
        FAILED and ``unready_reasons``.
        """
        try:
            sights = await asyncio.to_thread(self._view.look, self._failed())
        except ArtifactError as error:
            self._not_listed(str(error))
            return
        except OSError as error:  # of a network file system, perhaps for a moment
            self._not_listed(f"{error.filename or self._store.root}: {error.strerror}")
            return
        self._fault = None
        for sight in sights:
            self._take_in(sight)
        if not sights:  # gone, or not yet there
            return
        self._has_looked = True
        self._forget_models({sight.name for sight in sights})
        # All are known before the first is loaded, so that none is missed.
        tables = [self._tables[sight.name] for sight in sights]
        for table in tables:
            for number in table.wanted():
                self._add(table, number)
        for table in tables:
            while (wanted := table.next_to_load()) is not None:
                await self._load(table, self._add(table, wanted))
            self._end_superseded(table)
            for gone in table.forget_missing():
                self._on_state(gone.stored.id, None)
        self._warn_of_missing_default()

    def _forget_models(self, seen: Collection[str]) -> None:
        """Drop the models that are not in the store any more, and of which nothing serves."""
        for name, table in list(self._tables.items()):
            if name not in seen and not table.has_live:
                for entry in table.entries:
                    self._on_state(entry.stored.id, None)
                del self._tables[name]

    def _warn_of_missing_default(self) -> None:
        is_missing = self.default_model not in self._tables
        if is_missing and not self._has_warned_of_default:
            fields = {"model": self.default_model, "models": sorted(self._tables)}
            logger.warning("default model is not among the models", extra=fields)
        self._has_warned_of_default = is_missing

    def _not_listed(self, reason: str) -> None:
        if reason != self._fault:  # said once
            logger.error("store not listed", extra={"reason": reason})
        self._fault = reason

    def _failed(self) -> dict[ServableId, Signature]:
        return {
            entry.stored.id: entry.signature
            for table in self._tables.values()
            for entry in table.entries
            if entry.state is ServableState.FAILED
        }

    def _take_in(self, sight: Sight) -> None:
        table = self._tables.get(sight.name)
        if table is None:
            table = self._tables[sight.name] = VersionTable[L](
                sight.name, sight.policy, keep_warm_s=self._keep_warm_s, clock=self._clock
            )
            # Who serves already does not become unready by a model that comes later and is broken.
            table.is_required = not (self._takes_all_models and self._has_looked)
        table.on_disk, table.store_fault = sight.on_disk, sight.fault
        if sight.labels is not None and (sight.on_disk or not table.has_live):
            table.set_labels(sight.labels)  # a store that shows nothing says nothing of labels
        for entry in table.entries:
            is_due = entry.retry_at_s is not None and self._clock() >= entry.retry_at_s
            if entry.state is ServableState.FAILED and (entry.number in sight.changed or is_due):
                entry.reason = None
                self._move(table, entry, ServableState.START)

    def _end_superseded(self, table: VersionTable[L]) -> None:
        for entry in table.superseded():
            live, entry.live = entry.live, None
            assert live is not None, "set exactly while AVAILABLE"
            self._move(table, entry, ServableState.DRAINING)
            ending = asyncio.create_task(self._unload(table, entry, live))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

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
            entry.signature = await asyncio.to_thread(self._store.signature, stored.id)
            manifest = await asyncio.to_thread(self._store.read, stored.id)
            entry.manifest = manifest  # before the checksums: shown beside their failure
            self._require_classes(table, entry, manifest)
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
            entry.failures, entry.retry_at_s, entry.last_reason = 0, None, None
            table.is_required = True
            self._move(table, entry, ServableState.AVAILABLE)

    def _require_classes(
        self, table: VersionTable[L], entry: VersionEntry[L], manifest: Manifest
    ) -> None:
        serving = table.default.manifest if table.default is not None else None
        if serving is None or self._allow_class_changes or serving.classes == manifest.classes:
            return
        if entry.number < serving.version:
            return  # it takes over from nobody
        came = [name for name in manifest.classes if name not in serving.classes]
        went = [name for name in serving.classes if name not in manifest.classes]
        differences = [f"it has {', '.join(came)} in addition"] if came else []
        differences += [f"it lacks {', '.join(went)}"] if went else []
        raise ArtifactError(
            f"its classes are not those of version {serving.version}, which serves: "
            f"{' and '.join(differences) or 'they are in another order'} "
            "(KERASERVE_ALLOW_CLASS_CHANGES)"
        )

    def _report(self, table: VersionTable[L], entry: VersionEntry[L], state: ServableState) -> None:
        if state not in LOADING_STATES:
            raise ValueError(f"a loader cannot report {state}")
        order = LOADING_STATES.index
        if entry.state in LOADING_STATES and order(state) > order(entry.state):
            self._move(table, entry, state)

    def _fail(self, table: VersionTable[L], entry: VersionEntry[L], error: BaseException) -> None:
        exc_info = None
        entry.failures += 1
        # What is wrong with the files is so until they change; all else may be over in a while.
        delay_s = min(_FIRST_RETRY_S * 2 ** (entry.failures - 1), _LAST_RETRY_S)
        is_final = isinstance(error, ArtifactError)
        entry.retry_at_s = None if is_final else self._clock() + delay_s
        if isinstance(error, ServingError):
            entry.reason = str(error)
        elif isinstance(error, asyncio.CancelledError):
            entry.reason = "loading was cancelled"
        else:  # the text of a foreign exception is not known to be fit for callers
            entry.reason = f"{type(error).__name__}, see the log of the server"
            exc_info = error
        fields = {"model": table.name, "version": entry.number, "reason": entry.reason}
        # A version that is being copied fails again and again, with ever more bytes; what was said
        # once is enough.
        reason = re.sub(r"[0-9][0-9,.]*", "0", entry.reason)
        level = logging.DEBUG if reason == entry.last_reason else logging.ERROR
        entry.last_reason = reason
        logger.log(level, "version failed", extra=fields, exc_info=exc_info)
        table.set_state(entry, ServableState.FAILED)
        self._on_state(entry.stored.id, ServableState.FAILED)

    def _move(self, table: VersionTable[L], entry: VersionEntry[L], state: ServableState) -> None:
        table.set_state(entry, state)
        fields = {"model": table.name, "version": entry.number, "state": state.value}
        is_again = entry.failures > 0 and state in (ServableState.START, ServableState.LOADING)
        level = logging.DEBUG if is_again else logging.INFO
        logger.log(level, "version changed state", extra=fields)
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
        unready = (t for t in self._tables.values() if t.is_required and not t.is_ready)
        return [f"{table.name}: {table.why_unready()}" for table in unready]

    async def unload_all(self) -> None:
        """End every version, all concurrently; one that cannot end properly becomes FAILED.

        Called after ``reconcile`` has ended or was cancelled and awaited.
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
        await asyncio.gather(*ending, *self._ending)

    async def _unload(self, table: VersionTable[L], entry: VersionEntry[L], live: L) -> None:
        try:
            await self._loader.unload(live)
        except Exception as error:
            self._fail(table, entry, error)
        else:
            self._move(table, entry, ServableState.END)
