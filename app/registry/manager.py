"""Brings versions in and out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Generic

from app.artifacts.checksums import verify_files
from app.artifacts.manifest import Manifest
from app.errors import ArtifactError
from app.registry.catalog import ModelCatalog
from app.registry.failure import reason_of, retry_delay_s, without_numbers
from app.registry.loader import L, Loader
from app.registry.rollout_plan import RolloutPlan
from app.registry.store import ModelStore, Signature
from app.registry.store_view import Sight, StoreView
from app.registry.version_entry import LOADING_STATES, VersionEntry
from app.registry.version_policy import VersionPolicy, class_difference
from app.registry.version_table import VersionTable
from app.registry.wishes import Wishes
from app.types import ServableId, ServableState

logger = logging.getLogger(__name__)


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
    Store: where a look could not see it, ``look_fault`` says why; what serves goes on.
    Failure: whatever is wrong with a version makes it FAILED with a reason. Under ``Latest`` the
        next older version on disk is tried, until enough are AVAILABLE or none is left. It is tried
        again when its folder has changed. No fault of a version or a model keeps others from being
        loaded, or leaves ``reconcile``.
    Cancel: cancelling ``reconcile`` makes the version in hand FAILED; those AVAILABLE stay, and
        those that drain go on.
    Renew: a version whose engine failed is loaded once more beside it, and stays AVAILABLE.
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
        default_plans: Mapping[str, RolloutPlan] | None = None,
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
            default_plans: Canary and shadow by model, where the store says nothing of them.
            clock: Monotonic seconds.
        """
        self._store = store
        self._view = StoreView(store, policies, default_plans)
        self._takes_all_models = policies is None
        self._loader = loader
        self._on_state = on_state
        self._allow_class_changes = allow_class_changes
        self._keep_warm_s = keep_warm_s
        self._clock = clock
        self._has_warned_of_default = False
        self._has_looked = False
        self._is_overtaken = False  # labels or plans were written while the store was looked at
        self._in_addition: set[str] = set()  # models that are served though no policy names them
        self._wishes: dict[str, Wishes] = {}  # by model; they outlast its table
        self.look_fault: str | None = None
        self._ending: dict[ServableId, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self.catalog = ModelCatalog[L](default_model, store.root)
        self._tables = self.catalog.tables

    async def reconcile(self) -> None:
        """Look at the store, and bring what is served in line with it and the policies.

        Called again and again, by one task. Raises nothing but its own cancellation: faults become
        FAILED and ``unready_reasons``.
        """
        sights = await self._look()
        for sight in sights:
            self._take_in(sight)
        if not sights:
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

    async def _look(self) -> list[Sight]:
        """Return what the store shows; nothing where it cannot be seen."""
        self._is_overtaken = False
        try:
            sights = await asyncio.to_thread(
                self._view.look, self._failed(), frozenset(self._in_addition)
            )
        except ArtifactError as error:
            self._not_listed(str(error))
            return []
        except OSError as error:  # of a network file system, perhaps for a moment
            self._not_listed(f"{error.filename or self._store.root}: {error.strerror}")
            return []
        self.catalog.fault = self.look_fault = None
        if not any(sight.on_disk for sight in sights):  # gone, or not yet there
            self._saw_nothing(f"{self._store.root} shows no version (KERASERVE_MODEL_DIR)")
        return sights

    def _forget_models(self, seen: Collection[str]) -> None:
        """Drop the models that are not in the store any more, and of which nothing serves."""
        for name, table in list(self._tables.items()):
            if name not in seen and not table.has_live:
                for entry in table.entries:
                    self._on_state(entry.stored.id, None)
                del self._tables[name]

    def _warn_of_missing_default(self) -> None:
        is_missing = self.catalog.default_model not in self._tables
        if is_missing and not self._has_warned_of_default:
            fields = {"model": self.catalog.default_model, "models": sorted(self._tables)}
            logger.warning("default model is not among the models", extra=fields)
        self._has_warned_of_default = is_missing

    def _not_listed(self, reason: str) -> None:
        if reason != self.catalog.fault:  # said once
            logger.error("store not listed", extra={"reason": reason})
        self.catalog.fault = reason
        self._saw_nothing(reason)

    def _saw_nothing(self, reason: str) -> None:
        self.look_fault = reason
        for table in self._tables.values():  # to unload something takes no store
            self._end_superseded(table, is_store_seen=False)

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
                sight.name,
                sight.policy,
                keep_warm_s=self._keep_warm_s,
                clock=self._clock,
                wishes=self._wishes.setdefault(sight.name, Wishes()),
            )
            # Who serves already does not become unready by a model that comes later and is broken.
            is_late = self._takes_all_models and self._has_looked
            table.is_required = not (is_late or sight.name in self._in_addition)
        table.on_disk, table.store_fault = sight.on_disk, sight.fault
        # A store that shows nothing says nothing of labels, one seen too early what they were.
        if (sight.on_disk or not table.has_live) and not self._is_overtaken:
            if sight.plan is not None:
                table.plan = sight.plan.with_ends(*table.unwritten_ends)
            if sight.labels is not None:
                table.set_labels(sight.labels)
        for entry in table.entries:
            is_due = entry.retry_at_s is not None and self._clock() >= entry.retry_at_s
            if entry.state is ServableState.FAILED and (entry.number in sight.changed or is_due):
                entry.reason = None
                self._move(table, entry, ServableState.START)

    def _end_superseded(self, table: VersionTable[L], *, is_store_seen: bool = True) -> None:
        for entry in table.superseded(is_store_seen=is_store_seen):
            live, entry.live = entry.live, None
            assert live is not None, "set exactly while AVAILABLE"
            self._move(table, entry, ServableState.DRAINING)
            self._ending[entry.stored.id] = asyncio.create_task(self._unload(table, entry, live))

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
            table.is_required = table.name not in self._in_addition
            self._move(table, entry, ServableState.AVAILABLE)

    def _require_classes(
        self, table: VersionTable[L], entry: VersionEntry[L], manifest: Manifest
    ) -> None:
        serving = table.default.manifest if table.default is not None else None
        if serving is None or self._allow_class_changes or entry.number < serving.version:
            return  # an older one takes over from nobody
        difference = class_difference(serving.classes, manifest.classes)
        if difference is not None:
            raise ArtifactError(
                f"its classes are not those of version {serving.version}, which serves: "
                f"{difference} (KERASERVE_ALLOW_CLASS_CHANGES)"
            )

    def _report(self, table: VersionTable[L], entry: VersionEntry[L], state: ServableState) -> None:
        if state not in LOADING_STATES:
            raise ValueError(f"a loader cannot report {state}")
        order = LOADING_STATES.index
        if entry.state in LOADING_STATES and order(state) > order(entry.state):
            self._move(table, entry, state)

    def _fail(self, table: VersionTable[L], entry: VersionEntry[L], error: BaseException) -> None:
        entry.failures += 1
        delay_s = retry_delay_s(error, entry.failures)
        entry.retry_at_s = None if delay_s is None else self._clock() + delay_s
        entry.reason, cause = reason_of(error)
        fields = {"model": table.name, "version": entry.number, "reason": entry.reason}
        reason = without_numbers(entry.reason)  # what was said once is enough
        level = logging.DEBUG if reason == entry.last_reason else logging.ERROR
        entry.last_reason = reason
        logger.log(level, "version failed", extra=fields, exc_info=cause)
        table.set_state(entry, ServableState.FAILED)
        self._on_state(entry.stored.id, ServableState.FAILED)

    def _move(self, table: VersionTable[L], entry: VersionEntry[L], state: ServableState) -> None:
        table.set_state(entry, state)
        fields = {"model": table.name, "version": entry.number, "state": state.value}
        is_again = entry.failures > 0 and state in (ServableState.START, ServableState.LOADING)
        level = logging.DEBUG if is_again else logging.INFO
        logger.log(level, "version changed state", extra=fields)
        self._on_state(entry.stored.id, state)

    def include(self, name: str) -> None:
        """From the next look on serve a model that KERASERVE_MODELS does not name."""
        if name not in self._tables:
            self._in_addition.add(name)

    def exclude(self, name: str) -> None:
        """Take back ``include`` for a model that turned out not to exist."""
        self._in_addition.discard(name)
        table = self._tables.get(name)
        if table is not None and not table.entries:
            del self._tables[name]

    def retry_failed(self, name: str | None = None) -> None:
        """Let the next look try again what FAILED, of one model or of all, changed or not."""
        for table in self._tables.values() if name is None else [self.catalog.table(name)]:
            for entry in table.entries:
                if entry.state is ServableState.FAILED:
                    entry.retry_at_s = self._clock()

    def set_labels(self, name: str, labels: Mapping[str, int]) -> None:
        """Take over labels that were just written, at once; a look in hand does not undo it."""
        self._is_overtaken = True
        self.catalog.table(name).set_labels(labels)

    def set_plan(self, name: str, plan: RolloutPlan) -> None:
        """Take over a plan that was just written, at once; a look in hand does not undo it."""
        self._is_overtaken = True
        table = self.catalog.table(name)
        table.plan = self._view.complete(name, plan).with_ends(*table.unwritten_ends)

    async def ended(self, servable_id: ServableId) -> None:
        """Wait until a version that drains has ended; at once for any other."""
        ending = self._ending.get(servable_id)
        if ending is not None:
            await asyncio.wait([ending])

    async def renew(self, servable_id: ServableId) -> bool:
        """Load a version that serves once more; it takes over from itself in one step.

        Returns:
            False where the version does not serve, or does not any more: nothing has changed then.

        Raises:
            ServingError: It cannot be loaded; the one before goes on.
        """
        table = self._tables.get(servable_id.name)
        entry = None if table is None else table.get(servable_id.version)
        if entry is None or entry.live is None or entry.manifest is None:
            return False
        failed, manifest = entry.live, entry.manifest
        await asyncio.to_thread(verify_files, entry.stored.folder, manifest)
        renewed = await self._loader.renew(entry.stored, manifest, failed)
        is_wanted = entry.live is failed  # else the version has ended meanwhile
        if is_wanted:
            entry.live = renewed
        retiring = asyncio.create_task(self._loader.retire(failed if is_wanted else renewed))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retired)
        return is_wanted

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("engine not closed", exc_info=task.exception())

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
        await asyncio.gather(*ending, *self._ending.values())
        retiring = list(self._retiring)
        for task in retiring:  # what is left with an engine that failed is not to be waited for
            task.cancel()
        if retiring:
            await asyncio.wait(retiring)

    async def _unload(self, table: VersionTable[L], entry: VersionEntry[L], live: L) -> None:
        try:
            await self._loader.unload(live)
        except Exception as error:
            self._fail(table, entry, error)
        else:
            self._move(table, entry, ServableState.END)
        finally:
            self._ending.pop(entry.stored.id, None)
