"""Brings one version in and out: what the registry asks for, joined from the parts below."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from app.artifacts.manifest import Manifest
from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.devices.metrics import DeviceMetrics
from app.drift.monitor import DriftMonitor
from app.inference.leases import Leases
from app.inference.live import LiveServable
from app.inference.reuse import ResultReuse
from app.metrics import Metrics, ServableMetrics
from app.registry.store import StoredVersion
from app.runtime.memory import give_back
from app.runtime.policy import EnginePolicy
from app.runtime.preparing import LoadServable, prepare_servable
from app.types import Servable, ServableId, ServableState

logger = logging.getLogger(__name__)

_NICENESS = 10
"""Half of the way to the lowest priority, for the thread that loads and for all that it makes.

Threads take over the priority of who makes them, so the threads of an engine have it for as long
as they live: they execute behind the event loop, which reads, refuses and answers. On two cores at
three times their capacity a refusal takes 20 ms (p99) with it, 70 without, and all are slower; in a
closed loop it makes no difference. What loads beside traffic delays it less: p99 during swaps is an
eighth lower (``benchmarks/README.md``).
"""


class ServableLoader:
    """Brings one version from its folder to a running batcher, and back; again where it failed.

    Everything that takes long runs in a thread of its own, of lower priority where the system has
    that for threads, as have those that the engine makes there: the event loop goes on serving.

    ``on_failure`` is told on the event loop of versions whose batcher fails, with the reason.
    """

    def __init__(
        self,
        load: LoadServable,
        engine_policy: EnginePolicy,
        batch_policy: BatchPolicy,
        metrics: Metrics,
        unload_timeout_s: float,
        drift: DriftMonitor,
        reuse: ResultReuse,
        devices: DeviceMetrics,
    ) -> None:
        """Keep the parts.

        Args:
            load: Builds the engine's servable; it blocks.
            engine_policy: What it runs on.
            batch_policy: How its batcher forms batches.
            metrics: Where versions count.
            unload_timeout_s: How long a version may take to finish what it accepted.
            drift: Has a window on what each version answers.
            reuse: Keeps each version from computing anything twice, where that is asked for.
            devices: Time what is executed on each.
        """
        self.cut_off_images = 0
        self.on_failure: Callable[[ServableId, str], None] = lambda servable_id, reason: None
        self._thread = ThreadPoolExecutor(1, "load", initializer=_step_back)
        self._load = load
        self._engine_policy = engine_policy
        self._batch_policy = batch_policy
        self._metrics = metrics
        self.unload_timeout_s = unload_timeout_s
        self._drift = drift
        self._reuse = reuse
        self._devices = devices

    async def load(
        self,
        stored: StoredVersion,
        manifest: Manifest,
        on_state: Callable[[ServableState], None],
    ) -> LiveServable:
        """Load, warm up and test a version whose checksums are right.

        Raises:
            ArtifactError: It cannot be loaded, or fails its self-test.
        """
        servable = await self._prepared(stored, manifest, on_state)
        return self._start(servable, stored, manifest)

    async def renew(
        self, stored: StoredVersion, manifest: Manifest, live: LiveServable
    ) -> LiveServable:
        """Load a version once more, with metrics and drift window of the one that failed.

        Raises:
            ArtifactError: It cannot be loaded, or fails its self-test.
        """
        servable = await self._prepared(stored, manifest, lambda state: None)
        batcher = self._batcher(servable, stored.id, live.metrics)
        sha256 = manifest.files[manifest.network_file].sha256
        self._metrics.clear_info(stored.id, live.info, sha256)
        self._metrics.set_info(stored.id, servable.info, sha256)
        self._metrics.set_estimate(stored.id, batcher.answered_in_s)
        return replace(
            live,
            servable=servable,
            batcher=batcher,
            leases=Leases(),
            reuse=self._reuse.open(stored.id, batcher),
        )

    async def retire(self, live: LiveServable) -> None:
        """End an engine from which another one has taken over, as ``unload`` ends a version.

        What hangs in it keeps its memory until it comes back, or the process ends.
        """
        clock = asyncio.get_running_loop().time
        stop_by_s = clock() + self.unload_timeout_s
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(stop_by_s):
                    await live.leases.released()
            await live.batcher.close(timeout_s=max(stop_by_s - clock(), 0))
        finally:  # cancelled, too
            cut_off = await live.batcher.close(timeout_s=0)
            if cut_off:
                logger.error("images cut off", extra={"servable": str(live.id), "images": cut_off})
            if live.reuse is not None:
                await live.reuse.close()
        await live.batcher.closed()
        live.servable.close()
        self._thread.submit(give_back)

    async def _prepared(
        self,
        stored: StoredVersion,
        manifest: Manifest,
        on_state: Callable[[ServableState], None],
    ) -> Servable:
        """Build, warm up and test in the thread; what is cancelled leaves nothing behind."""
        loop = asyncio.get_running_loop()

        def report(state: ServableState) -> None:
            loop.call_soon_threadsafe(on_state, state)

        preparing = loop.run_in_executor(self._thread, self._prepare, stored, manifest, report)
        try:
            return await asyncio.shield(preparing)
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it builds must not be left behind.
            await asyncio.wait([preparing])
            if preparing.exception() is None:
                preparing.result().close()
            raise

    async def unload(self, live: LiveServable) -> None:
        """Finish what was promised to requests and what the version accepted, then close it."""
        clock = asyncio.get_running_loop().time
        stop_by_s = clock() + self.unload_timeout_s
        try:
            async with asyncio.timeout_at(stop_by_s):
                await live.leases.released()
        except TimeoutError:
            fields = {"servable": str(live.id), "requests": live.leases.held}
            logger.warning("not waiting for uploads any longer", extra=fields)
        cut_off = await live.batcher.close(timeout_s=max(stop_by_s - clock(), 0))
        if cut_off:
            self.cut_off_images += cut_off
            logger.error("images cut off", extra={"servable": str(live.id), "images": cut_off})
        try:
            if live.batcher.is_closed:  # else the device thread may still be inside the engine
                live.servable.close()
        finally:  # whatever the engine makes of it, the version answers no more
            self._drift.close(live.id)
            self._metrics.clear_estimate(live.id)
            self._metrics.clear_info(
                live.id, live.info, live.manifest.files[live.manifest.network_file].sha256
            )
            if live.reuse is not None:
                await live.reuse.close()
            with contextlib.suppress(RuntimeError):  # closed: the process is about to end
                self._thread.submit(give_back)

    def close(self) -> None:
        """End the thread; nothing can be loaded afterwards."""
        self._thread.shutdown(wait=False)

    def _prepare(
        self, stored: StoredVersion, manifest: Manifest, report: Callable[[ServableState], None]
    ) -> Servable:
        """Build, warm up and test, in a worker thread."""
        servable, result = prepare_servable(
            stored.folder, manifest, self._engine_policy, self._load, report
        )
        logger.info(
            "self-test passed",
            extra={
                "servable": str(stored.id),
                "engine": servable.info.engine,
                "precision": servable.info.precision,
                "samples": result.samples,
                "top1_agreement": result.top1_agreement,
                "max_deviation": float(f"{result.max_deviation:.2g}"),
            },
        )
        return servable

    def _start(self, servable: Servable, stored: StoredVersion, manifest: Manifest) -> LiveServable:
        metrics = self._metrics.for_servable(stored.id, manifest.classes)
        batcher = self._batcher(servable, stored.id, metrics)
        self._metrics.set_estimate(stored.id, batcher.answered_in_s)
        self._metrics.set_info(
            stored.id, servable.info, manifest.files[manifest.network_file].sha256
        )
        return LiveServable(
            stored.id,
            manifest,
            manifest.input.spec,
            servable,
            batcher,
            metrics,
            window=self._drift.open(stored.id, manifest),
            reuse=self._reuse.open(stored.id, batcher),
        )

    def _batcher(
        self, servable: Servable, servable_id: ServableId, metrics: ServableMetrics
    ) -> DynamicBatcher:
        self._devices.watch(servable)
        batcher = DynamicBatcher(
            servable,
            self._batch_policy,
            observer=metrics,
            name=str(servable_id),
            on_failure=lambda reason: self.on_failure(servable_id, reason),
            timer_of=self._devices.timer_of,
        )
        batcher.start()
        return batcher


def _step_back() -> None:
    """Let the threads that serve go before this one. Linux alone has priorities of threads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
