"""What NVIDIA's driver says of a GPU, whoever uses it."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

_LIBRARY, _DRIVER = "pynvml", "libcuda.so.1"
"""The module of the package ``nvidia-ml-py``, and the driver's library for CUDA."""


@dataclass(frozen=True, slots=True)
class GpuState:
    """One GPU now.

    Attributes:
        used_bytes: Of its memory, by all processes.
        total_bytes: Its memory.
        utilization: Share of the driver's last sample period, a second at most, in which anything
            ran on it, 0..1; None where the driver does not tell, as of a part of a GPU (MIG).
    """

    used_bytes: int
    total_bytes: int
    utilization: float | None


def gpu_uuid(number: int) -> str:
    """Return the identity of CUDA's device ``number``, the N of ``gpu:N``.

    The driver's management counts all GPUs of the machine, CUDA those that ``CUDA_VISIBLE_DEVICES``
    leaves over, in its order.

    Raises:
        OSError: There is no driver.
        LookupError: CUDA has no such device.
    """
    cuda = ctypes.CDLL(_DRIVER)
    device, uuid = ctypes.c_int(), (ctypes.c_ubyte * 16)()
    steps: tuple[Callable[[], int], ...] = (
        lambda: cuda.cuInit(0),
        lambda: cuda.cuDeviceGet(ctypes.byref(device), number),
        lambda: cuda.cuDeviceGetUuid_v2(ctypes.byref(uuid), device),
    )
    for step in steps:
        code = step()
        if code != 0:
            raise LookupError(f"CUDA has no device {number}: error {code}")
    return str(UUID(bytes=bytes(uuid)))


class NvidiaGpus:
    """Asks NVIDIA's management library, which is loaded when it is first asked.

    Used by one thread at a time.
    """

    def __init__(
        self,
        load: Callable[[], Any] = lambda: importlib.import_module(_LIBRARY),
        uuid_of: Callable[[int], str] = gpu_uuid,
    ) -> None:
        """Take what to ask.

        Args:
            load: Returns the module; raises ``ImportError`` where it is not installed.
            uuid_of: Identity of CUDA's device of this number.
        """
        self._load = load
        self._uuid_of = uuid_of
        self._library: Any = None
        self._handles: dict[int, Any] = {}

    def read(self, number: int) -> GpuState:
        """Return the state of ``gpu:number``; takes a millisecond.

        Raises:
            Exception: It cannot be had here: ``ImportError`` without the package, ``OSError`` and
                ``LookupError`` without a driver, the library's own error.
        """
        if self._library is None:
            library = self._load()
            library.nvmlInit()
            self._library = library
        if number not in self._handles:
            self._handles[number] = self._find(self._uuid_of(number))
        handle = self._handles[number]
        memory = self._library.nvmlDeviceGetMemoryInfo(handle)
        return GpuState(int(memory.used), int(memory.total), self._utilization(handle))

    def _find(self, uuid: str) -> Any:
        try:
            return self._library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        except self._library.NVMLError:  # what CUDA sees is a part of a GPU
            return self._library.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")

    def _utilization(self, handle: Any) -> float | None:
        try:
            return float(self._library.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
        except self._library.NVMLError:
            return None
