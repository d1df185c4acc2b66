"""What NVIDIA's management library is asked, and what is made of its answers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from app.devices.nvidia import GpuState, NvidiaGpus, gpu_uuid

UUIDS = {0: "0a", 1: "1b"}


class NVMLError(Exception):
    pass


class Library:
    """Of two GPUs in the order of the bus, which is not that of CUDA; the second is divided."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        self.begun = 0
        self.memory = {"GPU-1b": (10, 100), "MIG-0a": (3, 30)}

    def nvmlInit(self) -> None:
        self.begun += 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in self.memory:
            raise NVMLError("not found")
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        used, total = self.memory[handle]
        return SimpleNamespace(used=used, total=total, free=total - used)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        if handle.startswith("MIG"):
            raise NVMLError("not supported")
        return SimpleNamespace(gpu=42, memory=7)


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def gpus(library: Library) -> NvidiaGpus:
    return NvidiaGpus(lambda: library, UUIDS.__getitem__)


def test_gpu_is_the_one_that_cuda_means(gpus: NvidiaGpus) -> None:
    assert gpus.read(1) == GpuState(used_bytes=10, total_bytes=100, utilization=0.42)


def test_part_of_a_gpu_has_memory_but_no_utilization(gpus: NvidiaGpus) -> None:
    assert gpus.read(0) == GpuState(used_bytes=3, total_bytes=30, utilization=None)


def test_library_is_begun_once_and_asked_each_time(gpus: NvidiaGpus, library: Library) -> None:
    gpus.read(1)
    library.memory["GPU-1b"] = (20, 100)
    assert gpus.read(1).used_bytes == 20
    assert library.begun == 1


def test_gpu_that_cuda_does_not_have_is_an_error(gpus: NvidiaGpus) -> None:
    with pytest.raises(LookupError):
        gpus.read(2)


def test_there_is_no_such_gpu_on_any_machine() -> None:
    with pytest.raises((OSError, LookupError)):
        gpu_uuid(999)
