"""Devices as Prometheus sees them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.devices.metrics import DeviceMetrics
from app.devices.nvidia import GpuState
from app.runtime.servable_group import DeviceGroup
from app.types import EngineMemory
from tests.fakes import FakeClock, PuppetServable

Found = dict[tuple[str, str], float]

BUSY = "keraserve_device_busy_seconds_total"


class MeteredPuppet(PuppetServable):
    """On a GPU whose engine tells what it holds."""

    def __init__(self, device_id: str, memory_reader: Callable[[], EngineMemory]) -> None:
        super().__init__(device_id=device_id)
        self.memory_reader = memory_reader


def no_driver(number: int) -> GpuState:
    raise OSError("libcuda.so.1: cannot open shared object file")


def broken() -> EngineMemory:
    raise RuntimeError("the engine does not know")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def scraped(registry: CollectorRegistry) -> Found:
    return {
        (sample.name, sample.labels["device"]): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_each_device_has_its_seconds_whoever_executes_on_it(registry: CollectorRegistry) -> None:
    clock = FakeClock()
    devices = DeviceMetrics(registry, read_gpu=no_driver, clock=clock)
    cpu, gpu = devices.timer_of("cpu:0"), devices.timer_of("gpu:0")
    with cpu:
        clock.advance(2)
        with devices.timer_of("cpu:0"), gpu:
            clock.advance(1)
    assert scraped(registry) == {(BUSY, "cpu:0"): 3, (BUSY, "gpu:0"): 1}


def test_engines_and_driver_tell_of_the_memory_of_gpus(registry: CollectorRegistry) -> None:
    devices = DeviceMetrics(registry, read_gpu=lambda number: GpuState(500 + number, 1000, 0.25))
    devices.watch(
        DeviceGroup(
            [
                MeteredPuppet("gpu:0", lambda: EngineMemory(10, 20, 750)),
                MeteredPuppet("gpu:1", lambda: EngineMemory(30)),
            ]
        )
    )
    for device_id in ("cpu:0", "gpu:0", "gpu:1"):
        devices.timer_of(device_id)
    found = scraped(registry)
    assert {key: value for key, value in found.items() if key[0] != BUSY} == {
        ("keraserve_device_memory_used_bytes", "gpu:0"): 500,
        ("keraserve_device_memory_used_bytes", "gpu:1"): 501,
        ("keraserve_device_memory_total_bytes", "gpu:0"): 1000,
        ("keraserve_device_memory_total_bytes", "gpu:1"): 1000,
        ("keraserve_device_utilization_ratio", "gpu:0"): 0.25,
        ("keraserve_device_utilization_ratio", "gpu:1"): 0.25,
        ("keraserve_engine_memory_used_bytes", "gpu:0"): 10,
        ("keraserve_engine_memory_used_bytes", "gpu:1"): 30,
        ("keraserve_engine_memory_peak_bytes", "gpu:0"): 20,
        ("keraserve_engine_memory_limit_bytes", "gpu:0"): 750,
    }


def test_what_cannot_be_read_is_left_out_and_logged_once(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    devices = DeviceMetrics(registry, read_gpu=no_driver)
    devices.watch(MeteredPuppet("gpu:0", broken))
    devices.timer_of("gpu:0")
    assert set(scraped(registry)) == set(scraped(registry)) == {(BUSY, "gpu:0")}
    assert [vars(record)["source"] for record in caplog.records] == ["engine", "driver"]


def test_engine_that_tells_again_is_shown_again(registry: CollectorRegistry) -> None:
    devices = DeviceMetrics(registry, read_gpu=no_driver)
    is_broken: list[bool] = [True]
    devices.watch(MeteredPuppet("gpu:0", lambda: broken() if is_broken.pop() else EngineMemory(7)))
    assert scraped(registry) == {}
    is_broken.append(False)
    assert scraped(registry) == {("keraserve_engine_memory_used_bytes", "gpu:0"): 7}


def test_registering_reads_nothing(registry: CollectorRegistry) -> None:
    devices = DeviceMetrics(registry, read_gpu=no_driver)
    devices.watch(MeteredPuppet("gpu:0", broken))
    DeviceMetrics(CollectorRegistry())
    assert "keraserve_device_busy_seconds" in {family.name for family in devices.describe()}


@pytest.mark.timeout(10)
def test_driver_that_hangs_holds_one_scrape_alone(registry: CollectorRegistry) -> None:
    is_hanging, may_end = threading.Event(), threading.Event()

    def hang(number: int) -> GpuState:
        is_hanging.set()
        may_end.wait()
        return GpuState(1, 2, None)

    DeviceMetrics(registry, read_gpu=hang).timer_of("gpu:0")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(scraped, registry)
        assert is_hanging.wait(5)
        assert set(scraped(registry)) == {(BUSY, "gpu:0")}
        may_end.set()
        assert ("keraserve_device_memory_used_bytes", "gpu:0") in first.result()


def test_text_of_a_scrape_has_the_counter_by_its_name(registry: CollectorRegistry) -> None:
    DeviceMetrics(registry).timer_of("cpu:0")
    assert b'keraserve_device_busy_seconds_total{device="cpu:0"} 0.0' in generate_latest(registry)
