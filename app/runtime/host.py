"""What this machine and this environment have to execute networks with."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

from app.runtime.jax_environment import configure_jax

logger = logging.getLogger(__name__)

DRIVERS = tuple(
    Path(path) for path in ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
)
"""One of them is there where a GPU may be: NVIDIA's, in sandboxes, in WSL, and AMD's. To look costs
nothing, and spares hosts without a GPU the import of an engine."""
_CPU_INFO = Path("/proc/cpuinfo")

_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Flags of processors that oneDNN, and so TensorFlow, computes bfloat16 on without emulation."""

_ASK_S = 120.0
"""For a process that imports TensorFlow: some seconds, from a slow disk a minute."""

ComputeCapability = tuple[int, int]


class ThisHost:
    """The machine and the environment of this process; engines are imported only to be asked."""

    def __init__(self, drivers: Sequence[Path] = DRIVERS) -> None:
        """``drivers``: files of which one is there where a GPU may be."""
        self._has_driver = any(path.exists() for path in drivers)

    @cached_property
    def has_gpu(self) -> bool:
        """Whether TensorFlow sees a GPU."""
        return self.gpu_capability is not None

    @cached_property
    def gpu_capability(self) -> ComputeCapability | None:
        """The least of all GPUs; TensorFlow is imported only where there is a driver for one.

        Where the jax engine may be chosen as well, in another process: with TensorFlow comes Keras,
        which would compute with it in this process from then on.
        """
        if not self._has_driver or not self.has_tensorflow:
            return None
        return _ask_tensorflow_outside() if self.has_jax else tensorflow_gpu_capability()

    @cached_property
    def jax_gpu_capability(self) -> ComputeCapability | None:
        """The same of the GPUs that JAX sees; imported only where there is a driver for one."""
        if not self._has_driver or not self.has_jax:
            return None
        configure_jax()
        from app.runtime.jax_devices import least_gpu_capability

        return least_gpu_capability()

    @cached_property
    def has_jax(self) -> bool:
        """Whether JAX and Keras are installed."""
        return all(importlib.util.find_spec(name) is not None for name in ("jax", "keras"))

    @cached_property
    def has_tensorflow(self) -> bool:
        """Whether TensorFlow is installed."""
        return importlib.util.find_spec("tensorflow") is not None

    @cached_property
    def has_openvino(self) -> bool:
        """Whether OpenVINO is installed."""
        return importlib.util.find_spec("openvino") is not None

    @cached_property
    def has_bfloat16(self) -> bool:
        """Whether the processor computes in bfloat16; elsewhere it would only be emulated."""
        import openvino as ov

        return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    @cached_property
    def has_tensorflow_bfloat16(self) -> bool:
        """Whether the processor computes in bfloat16 with TensorFlow; asks no engine."""
        if not _CPU_INFO.is_file():
            return False
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
        flags = next((line for line in lines if line.startswith("flags")), "")
        return not _BFLOAT16_FLAGS.isdisjoint(flags.split())


def tensorflow_gpu_capability() -> ComputeCapability | None:
    """Import TensorFlow and return the least capability of the GPUs it sees; None: of none."""
    import tensorflow as tf

    found = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return min(((int(major), int(minor)) for major, minor in found), default=None)


@cache
def _ask_tensorflow_outside() -> ComputeCapability | None:
    script = (
        "import json; from app.runtime.host import tensorflow_gpu_capability as ask; "
        "print(json.dumps(ask()))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parents[2],  # where the package ``app`` is
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        logger.warning("TensorFlow is taken to see no GPU", extra={"reason": str(error)})
        return None
    return None if found is None else (int(found[0]), int(found[1]))


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
