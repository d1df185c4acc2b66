"""Start, readiness and drain of one service process, in order; joins the parts below it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from app.artifacts.layout import SAMPLES
from app.artifacts.manifest import Manifest
from app.artifacts.samples import read_samples
from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.inference.decode_pool import DecodePool
from app.inference.live import LiveServable
from app.inference.service import InferenceService
from app.metrics import Metrics
from app.registry.manager import ServableManager
from app.registry.status import ModelStatus
from app.registry.store import ModelStore, StoredVersion
from app.registry.watcher import store_changes
from app.runtime.loader import load_servable
from app.runtime.memory import give_back
from app.runtime.policy import EnginePolicy
from app.runtime.self_test import run_self_test
from app.settings import Settings
from app.types import Servable, ServableState

logger = logging.getLogger(__name__)

LoadServable = Callable[[Path, Manifest, EnginePolicy], Servable]

# Decoding holds the GIL for about half of its time: more threads than this only queue for it.
_MOST_DECODE_THREADS = 4


class ServableLoader:
    """Brings one version from its folder to a running batcher, and back.

    Everything that takes long runs in a worker thread: the event loop goes on serving.
    """

    def __init__(
        self,
        load: LoadServable,
        engine_policy: EnginePolicy,
        batch_policy: BatchPolicy,
        metrics: Metrics,
        unload_timeout_s: float,
    ) -> None:
        """Keep the parts.

        Args:
            load: Builds the engine's servable; it blocks.
            engine_policy: What it runs on.
            batch_policy: How its batcher forms batches.
            metrics: Where versions count.
            unload_timeout_s: How long a version may take to finish what it accepted.
        """
        self.cut_off_images = 0
        self._load = load
        self._engine_policy = engine_policy
        self._batch_policy = batch_policy
        self._metrics = metrics
        self.unload_timeout_s = unload_timeout_s

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
        loop = asyncio.get_running_loop()

        def report(state: ServableState) -> None:
            loop.call_soon_threadsafe(on_state, state)

        preparing = asyncio.ensure_future(
            asyncio.to_thread(self._prepare, stored, manifest, report)
        )
        try:
            servable = await asyncio.shield(preparing)
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it builds must not be left behind.
            await asyncio.wait([preparing])
            if preparing.exception() is None:
                preparing.result().close()
            raise
        return self._start(servable, stored, manifest)

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
        if live.batcher.is_closed:  # else the device thread may still be inside the engine
            live.servable.close()
        self._metrics.clear_info(
            live.id, live.info, live.manifest.files[live.manifest.network_file].sha256
        )
        await asyncio.to_thread(give_back)

    def _prepare(
        self, stored: StoredVersion, manifest: Manifest, report: Callable[[ServableState], None]
    ) -> Servable:
        """Build, warm up and test, in a worker thread."""
        servable = self._load(stored.folder, manifest, self._engine_policy)
        try:
            report(ServableState.WARMING)
            servable.warm_up()
            report(ServableState.TESTING)
            self._test(servable, stored, manifest)
        except BaseException:
            servable.close()
            raise
        finally:
            give_back()  # what loading has needed for a moment
        return servable

    def _start(self, servable: Servable, stored: StoredVersion, manifest: Manifest) -> LiveServable:
        metrics = self._metrics.for_servable(stored.id, manifest.classes)
        batcher = DynamicBatcher(
            servable, self._batch_policy, observer=metrics, name=str(stored.id)
        )
        batcher.start()
        self._metrics.set_info(
            stored.id, servable.info, manifest.files[manifest.network_file].sha256
        )
        return LiveServable(stored.id, manifest, manifest.input.spec, servable, batcher, metrics)

    def _test(self, servable: Servable, stored: StoredVersion, manifest: Manifest) -> None:
        samples = read_samples(stored.folder / SAMPLES)
        result = run_self_test(
            servable, samples, manifest.self_test, self._batch_policy.max_batch_size
        )
        logger.info(
            "self-test passed",
            extra={
                "servable": str(stored.id),
                "samples": len(samples.images),
                "top1_agreement": result.top1_agreement,
                "max_deviation": float(f"{result.max_deviation:.2g}"),
            },
        )


class Lifecycle:
    """The parts of one service process, and the order in which they live.

    Start: versions load in a task of their own, so that liveness, readiness and metrics answer
    meanwhile. Drain: ``begin_drain`` turns readiness off, ``refuse`` ends admission; ``stop``
    lets every batcher finish what it accepted.
    """

    def __init__(
        self,
        settings: Settings,
        registry: CollectorRegistry,
        *,
        load: LoadServable = load_servable,
    ) -> None:
        """Build everything; nothing runs before ``start``."""
        batch_policy = settings.batch_policy()
        self.request_policy = settings.request_policy()
        self.default_model = settings.default_model
        self.metrics = Metrics(registry, batch_policy.allowed_batch_sizes)
        self._loader = ServableLoader(
            load,
            settings.engine_policy(),
            batch_policy,
            self.metrics,
            settings.shutdown_timeout_s,
        )
        self._manager: ServableManager[LiveServable] = ServableManager(
            ModelStore(settings.model_dir),
            settings.version_policies(),
            default_model=settings.default_model,
            loader=self._loader,
            on_state=self.metrics.set_state,
            allow_class_changes=settings.allow_class_changes,
        )
        self.store_root, self._watch_policy = settings.model_dir, settings.watch_policy()
        self._pool = DecodePool(
            threads=min(_MOST_DECODE_THREADS, os.cpu_count() or 1),
            max_pending=batch_policy.max_queue_size,
        )
        self.service = InferenceService(
            self._manager.resolve, self._pool, settings.imaging_policy(), self.metrics
        )
        self._keeping: asyncio.Task[None] | None = None
        self._is_loaded = asyncio.Event()
        self._stop_timeout_s = settings.shutdown_timeout_s
        self._stop_by_s: float | None = None  # on the event loop's clock
        self._cut_off_requests = 0
        self._is_unready_for_drain = False
        self.is_draining = False
        self.is_drained = False

    async def start(self) -> None:
        """Begin to load, and to watch the store; returns at once."""
        self._keeping = asyncio.create_task(self._keep_up(), name="keep-up-with-store")

    async def loaded(self) -> None:
        """Wait until every version that the store had at the start is AVAILABLE or FAILED."""
        await self._is_loaded.wait()

    async def _keep_up(self) -> None:
        """Bring what is served in line with the store, first at the start, then as it changes."""
        try:
            await self._manager.reconcile()
            self._log_readiness()
            self._is_loaded.set()
            async for _ in store_changes(self.store_root, self._watch_policy):
                await self._manager.reconcile()
        except Exception:  # what is served goes on; what comes is not noticed any more
            logger.exception("keeping up with the store broke off")
            raise
        finally:
            self._is_loaded.set()

    def _log_readiness(self) -> None:
        reasons = self._manager.unready_reasons()
        if reasons:
            logger.error("not ready", extra={"reasons": reasons})
        else:
            names = [f"{model.name}:{model.default_version}" for model in self._manager.statuses()]
            logger.info("ready", extra={"serving": ", ".join(names)})

    def begin_drain(self) -> None:
        """Turn readiness off while requests are still accepted; for load balancers to notice."""
        self._is_unready_for_drain = True

    def refuse(self) -> None:
        """Refuse new inference from now on; what was accepted has ``shutdown_timeout_s``."""
        self._is_unready_for_drain = True
        self.is_draining = True
        if self._stop_by_s is None:
            self._stop_by_s = asyncio.get_running_loop().time() + self._stop_timeout_s

    def request_cut_off(self) -> None:
        """Count a request that was accepted and could not be finished in time."""
        self._cut_off_requests += 1

    async def stop(self) -> None:
        """Finish what was accepted and close every version.

        It takes what is left of ``shutdown_timeout_s``, and a second where the requests used all
        of it: their images are cancelled then, and only a running execution can be waited for.
        """
        self.refuse()
        assert self._stop_by_s is not None, "set by refuse()"
        if self._keeping is not None and not self._keeping.done():
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        left_s = self._stop_by_s - asyncio.get_running_loop().time()
        self._loader.unload_timeout_s = max(left_s, min(1.0, self._stop_timeout_s))
        await self._manager.unload_all()
        self._pool.close()
        self.is_drained = not (self._loader.cut_off_images or self._cut_off_requests)
        fields = {
            "images_cut_off": self._loader.cut_off_images,
            "requests_cut_off": self._cut_off_requests,
        }
        logger.info("drained" if self.is_drained else "not drained", extra=fields)

    def unready_reasons(self) -> list[str]:
        """Say why traffic should go elsewhere; empty when ready."""
        if self._is_unready_for_drain:
            return ["draining"]
        reasons = self._manager.unready_reasons()
        for model in self._manager.statuses():
            for version in model.versions:
                live = version.live
                if live is not None and not live.batcher.is_healthy:
                    reasons.append(f"{live.id}: {live.batcher.failure}")
        return reasons

    def statuses(self) -> tuple[ModelStatus[LiveServable], ...]:
        """Every model with its versions and their states."""
        return self._manager.statuses()
