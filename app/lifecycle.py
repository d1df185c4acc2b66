"""Start, readiness and drain of one service process, in order; joins the parts below it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os

from prometheus_client import CollectorRegistry

from app.administration.desk import OrderDesk
from app.administration.traffic import TrafficOrders
from app.administration.versions import VersionOrders
from app.devices.metrics import DeviceMetrics
from app.drift.monitor import DriftMonitor
from app.inference.decode_pool import DecodePool
from app.inference.live import LiveServable
from app.inference.reuse import ResultReuse
from app.inference.reuse_metrics import ReuseMetrics
from app.inference.service import InferenceService
from app.inference.upload_budget import UploadBudget
from app.keeping import StoreKeeper
from app.loading import ServableLoader
from app.metrics import Metrics
from app.registry.manager import ServableManager
from app.registry.status import ModelStatus
from app.registry.store import ModelStore
from app.rollout.director import TrafficDirector
from app.rollout.metrics import RolloutMetrics
from app.runtime.loader import load_servable
from app.runtime.preparing import LoadServable
from app.runtime.private_copy import from_private_copy
from app.samples.library import SampleLibrary
from app.settings import Settings
from app.supervision import EngineSupervisor
from app.watching import folder_changes

logger = logging.getLogger(__name__)

# Decoding holds the GIL for about half of its time: more threads than this only queue for it.
_MOST_DECODE_THREADS = 4

_TRACES_S = 5.0
"""At the end, for the last traces: a collector that hangs must not keep the process."""


class Lifecycle:
    """The parts of one service process, and the order in which they live.

    Start: versions load in a task of their own, so that liveness, readiness and metrics answer
    meanwhile. Drain: ``begin_drain`` turns readiness off, ``refuse`` ends admission; ``stop``
    lets every batcher finish what it accepted.

    Attributes:
        admin_port: The port that administration and metrics are answered at, once it is known;
            None where that is any.
    """

    def __init__(
        self,
        settings: Settings,
        registry: CollectorRegistry,
        *,
        load: LoadServable = load_servable,
    ) -> None:
        """Build everything; nothing runs before ``start``."""
        self.key_ring = settings.key_ring()
        self.limits = settings.access_limits()
        self.proxies = settings.proxies()
        self.admin_port = settings.admin_port
        self.request_policy = settings.request_policy()
        self.uploads = UploadBudget(settings.max_pending_upload_bytes)
        self.recorder_policy = settings.recorder_policy()
        self.default_model = settings.default_model
        self.store_root = settings.model_dir
        self._build_serving(settings, registry, load)
        self._build_orders(settings, registry)
        self._host = settings.host
        self.hsts_max_age_s = settings.hsts_max_age_s
        self.certificate = settings.certificate(
            settings.file_watch_policy(), self.metrics.certificate_changed
        )
        self._tracing = settings.tracing()  # last: it starts a thread
        self.trace_sampler = None if self._tracing is None else self._tracing.sampler
        self._following: list[asyncio.Task[None]] = []
        self._stop_timeout_s = settings.shutdown_timeout_s
        self._stop_by_s: float | None = None  # on the event loop's clock
        self._cut_off_requests = 0
        self._is_unready_for_drain = False
        self.is_draining = False
        self.is_drained = False

    def _build_serving(
        self, settings: Settings, registry: CollectorRegistry, load: LoadServable
    ) -> None:
        """Build what loads versions, and what classifies on them."""
        batch_policy, trust = settings.batch_policy(), settings.trust_policy()
        self.metrics = Metrics(registry, batch_policy.allowed_batch_sizes)
        self.metrics.max_queue_size.set(batch_policy.max_queue_size)
        self._loader = ServableLoader(
            from_private_copy(load) if trust.asks else load,
            settings.engine_policy(),
            batch_policy,
            self.metrics,
            # In a swap, for as long as a request that has just begun may take.
            max(settings.shutdown_timeout_s, settings.request_timeout_ms / 1000),
            DriftMonitor(settings.drift_policy(), registry),
            ResultReuse(settings.reuse_policy(), ReuseMetrics(registry)),
            DeviceMetrics(registry),
        )
        self._store = ModelStore(settings.model_dir, trust)
        self._manager: ServableManager[LiveServable] = ServableManager(
            self._store,
            settings.version_policies(),
            default_model=settings.default_model,
            loader=self._loader,
            on_state=self.metrics.set_state,
            allow_class_changes=settings.allow_class_changes,
            keep_warm_s=settings.keep_warm_s,
            default_plans=settings.rollout_plans(),
        )
        self._supervisor = EngineSupervisor(
            self._manager.renew, settings.restart_policy(), self.metrics.count_restart
        )
        self._loader.on_failure = self._supervisor.failed
        self._pool = DecodePool(
            threads=min(_MOST_DECODE_THREADS, os.cpu_count() or 1),
            max_pending=batch_policy.max_queue_size,
            stall_after_s=batch_policy.stall_after_s,
            restarts=settings.restart_policy(),
        )
        self.service = InferenceService(self._pool, settings.imaging_policy(), self.metrics)
        self.samples = SampleLibrary(
            self._manager.catalog,
            self._store,
            settings.samples_dir,
            max_waiting=batch_policy.max_queue_size,
        )

    def _build_orders(self, settings: Settings, registry: CollectorRegistry) -> None:
        """Build what follows the store and what administrators ask, and what splits traffic."""
        watch_policy = settings.watch_policy()
        self._keeper = StoreKeeper(
            self._manager.reconcile,
            lambda: folder_changes(self.store_root, watch_policy),
            self._log_readiness,
            retry_s=watch_policy.interval_s,
        )
        desk = OrderDesk(self._manager, self._keeper, self._store)
        self.version_orders = VersionOrders(desk)
        self.traffic_orders = TrafficOrders(desk, settings.canary_thresholds())
        self.director = TrafficDirector(
            self._manager.catalog,
            self.service,
            RolloutMetrics(registry),
            self.traffic_orders.end_canary,
            allow_class_changes=settings.allow_class_changes,
        )

    async def start(self) -> None:
        """Begin to load, and to watch the store and the keys; returns at once."""
        self._log_access()
        if self.key_ring is not None:
            keys = self.key_ring.follow()
            self._following.append(asyncio.create_task(keys, name="follow-keys"))
        if self.certificate is not None:
            certificate = self.certificate.follow()
            self._following.append(asyncio.create_task(certificate, name="follow-certificate"))
        self._keeper.start()

    async def loaded(self) -> None:
        """Wait until every version that the store had at the start is AVAILABLE or FAILED."""
        await self._keeper.looked()

    def _log_access(self) -> None:
        if self.key_ring is None:
            level = logging.INFO if _is_loopback(self._host) else logging.WARNING
            logger.log(level, "no API keys are asked for: whoever reaches the server may classify")
            return
        fields = {"file": str(self.key_ring.path)}
        logger.info("API keys are asked for", extra=fields)
        if self.key_ring.may_miss_changes:
            logger.warning(
                "the file of keys is mounted by itself: keys that are made or revoked outside may "
                "count after a restart only; mount its folder",
                extra=fields,
            )

        loose = self.key_ring.loose_permissions
        if loose is not None:
            logger.warning(
                "others may write the file of keys, and give themselves any scope",
                extra=fields | {"permissions": loose},
            )

    def _log_readiness(self) -> None:
        reasons = self._manager.catalog.unready_reasons()
        if reasons:
            logger.error("not ready", extra={"reasons": reasons})
        else:
            names = [
                f"{model.name}:{model.default_version}"
                for model in self._manager.catalog.statuses()
            ]
            logger.info("ready", extra={"serving": ", ".join(names)})

    def begin_drain(self) -> None:
        """Turn readiness off while requests are still accepted; for load balancers to notice."""
        self._is_unready_for_drain = True

    def refuse(self) -> None:
        """Refuse new inference from now on; what was accepted has ``shutdown_timeout_s``."""
        self._is_unready_for_drain = True
        self.is_draining = True
        self._supervisor.stop()
        self._keeper.stop()  # no version comes or goes any more
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
        # A load in hand ends with its thread, which cannot be stopped: not for ever.
        left_s = self._stop_by_s - asyncio.get_running_loop().time()
        await self._keeper.stopped(max(left_s, 1.0))
        await self.director.close(timeout_s=1.0)  # a few bytes to write, unless the disk hangs
        left_s = self._stop_by_s - asyncio.get_running_loop().time()
        self._loader.unload_timeout_s = max(left_s, min(1.0, self._stop_timeout_s))
        self._loader.cut_off_images = 0  # those of swaps are no fault of this end
        await self._manager.unload_all()
        self._pool.close()
        self.samples.close()
        self._loader.close()
        if self._following:  # to the end: a key may be revoked while we drain
            for task in self._following:
                task.cancel()
            await asyncio.wait(self._following, timeout=1.0)
        if self._tracing is not None:
            await self._tracing.close(timeout_s=_TRACES_S)
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
        reasons = self._manager.catalog.unready_reasons()
        if self._pool.failure is not None:
            reasons.append(self._pool.failure)
        return reasons + [f"{live.id}: {live.batcher.failure}" for live in self._sick_defaults()]

    def dead_reasons(self) -> list[str]:
        """Say what only a restart of the process can mend; empty while it may mend itself.

        Not while the process ends: to be killed then would cost the answers of who was accepted.
        """
        if self._is_unready_for_drain:
            return []
        reasons = [
            f"{live.id}: {live.batcher.failure}; restarts of its engine have not helped"
            for live in self._sick_defaults()
            if self._supervisor.is_given_up(live.id)
        ]
        if self._pool.failure is not None and self._pool.is_given_up:
            reasons.append(f"{self._pool.failure}; restarts have not helped")
        return reasons

    def _sick_defaults(self) -> list[LiveServable]:
        """Return the versions that answer by default, and cannot."""
        # Of the others, callers have the choice, or the default version answers for them.
        return [
            version.live
            for model in self._manager.catalog.statuses()
            for version in model.versions
            if version.live is not None
            and version.version == model.default_version
            and not version.live.batcher.is_healthy
        ]

    def statuses(self) -> tuple[ModelStatus[LiveServable], ...]:
        """Every model with its versions and their states."""
        return self._manager.catalog.statuses()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
