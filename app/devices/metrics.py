"""Devices as Prometheus metrics; asked when Prometheus asks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import ClassVar, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.devices.nvidia import GpuState, NvidiaGpus
from app.devices.timer import DeviceTimer
from app.types import Clock, EngineMemory, MeteredServable, Servable, ServableGroup

logger = logging.getLogger(__name__)

_READING_S = 1.0
"""What a scrape waits for another one that reads, which takes milliseconds. Where the driver hangs,
one thread hangs with it, and all later scrapes go without."""

_GPU = "gpu:"
_T = TypeVar("_T")
_Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily


class DeviceMetrics(Collector):
    """Times what devices execute, and exports it with what is known of their memory.

    What cannot be known is left out; a reader that raises is logged once.

    Loop: ``timer_of`` and ``watch`` run on the event loop, ``collect`` in any thread. Both
    dictionaries only ever grow, by one entry for each device of the machine at most.
    """

    _GAUGES: ClassVar[dict[str, str]] = {
        "device_memory_used_bytes": "Of a GPU's memory, by all processes.",
        "device_memory_total_bytes": "A GPU's memory.",
        "device_utilization_ratio": "Share of the driver's last sample period in which a GPU was"
        " busy, whoever used it.",
        "engine_memory_used_bytes": "Of a device's memory, by weights, images and results of this"
        " process.",
        "engine_memory_peak_bytes": "The most of that since the process began.",
        "engine_memory_limit_bytes": "What this process may take of a device's memory at most.",
    }

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        read_gpu: Callable[[int], GpuState] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Register with ``registry``.

        Args:
            registry: Exports it.
            read_gpu: Returns the state of a GPU by its number, or raises; called by one thread at
                a time. None: NVIDIA's driver is asked.
            clock: Monotonic seconds.
        """
        self._clock = clock
        self._read_gpu = NvidiaGpus().read if read_gpu is None else read_gpu
        self._timers: dict[str, DeviceTimer] = {}
        self._readers: dict[str, Callable[[], EngineMemory]] = {}
        self._reading = threading.Lock()  # guards the next one, and whatever is read
        self._has_failed: set[tuple[str, str]] = set()
        registry.register(self)

    def timer_of(self, device_id: str) -> DeviceTimer:
        """Return the timer of a device, which all share that execute on it."""
        if device_id not in self._timers:
            self._timers[device_id] = DeviceTimer(self._clock)
        return self._timers[device_id]

    def watch(self, servable: Servable) -> None:
        """From now on ask the engine of this one what it holds of its devices' memory."""
        members = servable.members if isinstance(servable, ServableGroup) else (servable,)
        for member in members:
            if isinstance(member, MeteredServable):
                self._readers[member.info.device_id] = member.memory_reader

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples: what a registry asks for names, nothing is read."""
        return self._families().values()

    def collect(self) -> Iterator[Metric]:
        """Yield all families; never raises."""
        families = self._families()
        timers = list(self._timers.items())
        for device_id, timer in timers:
            families["device_busy_seconds"].add_metric([device_id], timer.busy_s)
        if self._reading.acquire(timeout=_READING_S):
            try:
                self._read(families, [device_id for device_id, _ in timers])
            finally:
                self._reading.release()
        yield from families.values()

    def _families(self) -> dict[str, _Family]:
        gauges = {
            name: GaugeMetricFamily(f"keraserve_{name}", text, labels=["device"])
            for name, text in self._GAUGES.items()
        }
        busy = CounterMetricFamily(
            "keraserve_device_busy_seconds",
            "Time in which at least one batch was executed on a device.",
            labels=["device"],
        )
        return {"device_busy_seconds": busy, **gauges}

    def _read(self, families: dict[str, _Family], device_ids: Iterable[str]) -> None:
        found: dict[tuple[str, str], float | None] = {}
        for device_id, reader in list(self._readers.items()):
            memory = self._ask(device_id, "engine", reader)
            if memory is not None:
                found["engine_memory_used_bytes", device_id] = memory.used
                found["engine_memory_peak_bytes", device_id] = memory.peak
                found["engine_memory_limit_bytes", device_id] = memory.limit
        for device_id in device_ids:
            if device_id.startswith(_GPU):
                number = int(device_id.removeprefix(_GPU))
                state = self._ask(device_id, "driver", partial(self._read_gpu, number))
                if state is not None:
                    found["device_memory_used_bytes", device_id] = state.used_bytes
                    found["device_memory_total_bytes", device_id] = state.total_bytes
                    found["device_utilization_ratio", device_id] = state.utilization
        for (name, device_id), value in found.items():
            if value is not None:
                families[name].add_metric([device_id], value)

    def _ask(self, device_id: str, source: str, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except Exception as error:  # of any library: a scrape must not fail for it
            if (device_id, source) not in self._has_failed:
                self._has_failed.add((device_id, source))
                fields = {"device": device_id, "source": source, "reason": repr(error)}
                logger.warning("what a device holds cannot be told", extra=fields)
            return None
