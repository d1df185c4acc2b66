"""The devices that JAX executes on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import jax

from app.errors import ArtifactError
from app.types import EngineMemory


@dataclass(frozen=True, slots=True)
class Device:
    """One device.

    Attributes:
        handle: JAX's own object for it.
        title: What people call it, e.g. ``NVIDIA H100 80GB HBM3``.
        is_gpu: Whether it has memory of its own.
        id: As ``KERASERVE_DEVICES`` has it, e.g. ``gpu:0``.
    """

    handle: Any
    title: str
    is_gpu: bool
    id: str


def find_devices(names: Sequence[str]) -> tuple[Device, ...]:
    """Return the devices of these names, as ``gpu:0``; of none every GPU, or the CPU.

    Raises:
        ArtifactError: JAX does not see one of them.
    """
    gpus = [
        Device(gpu, gpu.device_kind, is_gpu=True, id=f"gpu:{index}")
        for index, gpu in enumerate(_local_devices("gpu"))
    ]
    cpus = [
        Device(cpu, "cpu", is_gpu=False, id=f"cpu:{index}")
        for index, cpu in enumerate(_local_devices("cpu"))
    ]
    if not names:
        found = tuple(gpus or cpus[:1])
        if not found:
            raise ArtifactError("JAX sees neither a GPU nor the CPU (JAX_PLATFORMS)")
        return found
    named = {device.id: device for device in (*cpus, *gpus)}
    missing = [name for name in names if name not in named]
    if missing:
        raise ArtifactError(
            f"JAX sees {', '.join(sorted(named))}, not {', '.join(missing)} (KERASERVE_DEVICES)"
        )
    return tuple(named[name] for name in names)


def memory_of(device: Device) -> EngineMemory:
    """Return what JAX's allocator has given out and may take. Any thread.

    Raises:
        LookupError: The device does not count it, as CPUs do not.
    """
    found = device.handle.memory_stats()
    if not found:
        raise LookupError(f"{device.id} does not count its memory")
    return EngineMemory(
        found["bytes_in_use"], found.get("peak_bytes_in_use"), found.get("bytes_limit")
    )


def least_gpu_capability() -> tuple[int, int] | None:
    """Return NVIDIA's compute capability, the least of all GPUs; None where JAX sees none.

    GPUs of other makers count as (0, 0): they compute in float32.
    """
    return min((_capability(gpu) for gpu in _local_devices("gpu")), default=None)


def in_host_memory() -> AbstractContextManager[Any]:
    """Have arrays that nobody places anywhere made in the host's memory, in this thread."""
    cpus = _local_devices("cpu")
    return jax.default_device(cpus[0]) if cpus else nullcontext()


def _capability(gpu: Any) -> tuple[int, int]:
    major, _, minor = str(getattr(gpu, "compute_capability", "")).partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _local_devices(platform: str) -> list[Any]:
    try:
        return list(jax.local_devices(backend=platform))
    except RuntimeError:  # JAX was installed without it, or finds no driver for it
        return []
