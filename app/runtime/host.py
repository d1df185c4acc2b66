"""What this machine and this environment have to execute networks with."""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path

_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_CPU_INFO = Path("/proc/cpuinfo")

_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Flags of processors that oneDNN, and so TensorFlow, computes bfloat16 on without emulation."""

ComputeCapability = tuple[int, int]


class ThisHost:
    """The machine and the environment of this process; engines are imported only to be asked."""

    @cached_property
    def has_gpu(self) -> bool:
        """Whether TensorFlow sees a GPU."""
        return self.gpu_capability is not None

    @cached_property
    def gpu_capability(self) -> ComputeCapability | None:
        """The least of all GPUs; TensorFlow is imported only where there is a driver for one."""
        if not _NVIDIA_DRIVER.exists() or not self.has_tensorflow:
            return None
        import tensorflow as tf

        found = [
            tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
            for gpu in tf.config.list_physical_devices("GPU")
        ]
        return min(((int(major), int(minor)) for major, minor in found), default=None)

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
