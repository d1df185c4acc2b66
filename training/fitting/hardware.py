"""What this machine computes with: for the choice of precision and for the training record."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import tensorflow as tf


def gpu_names() -> list[str]:
    """Names of the GPUs that TensorFlow sees."""
    details = (
        tf.config.experimental.get_device_details(device)
        for device in tf.config.list_physical_devices("GPU")
    )
    return [str(detail.get("device_name", "GPU")) for detail in details]


def preferred_precision() -> str:
    """Return ``mixed_bfloat16`` where it is computed in hardware, else ``float32``.

    GPUs: compute capability 8 (Ampere) and later. CPUs: the avx512_bf16 or amx_bf16 flag; without
    it bfloat16 is emulated and slower than float32.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
        return "mixed_bfloat16" if capability and capability[0] >= 8 else "float32"
    return "mixed_bfloat16" if {"avx512_bf16", "amx_bf16"} & _cpu_flags() else "float32"


def training_strategy() -> tf.distribute.Strategy:
    """Return how batches are divided: over all GPUs of the machine, if there are several."""
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()  # the default one: a single device


def describe() -> str:
    """Return one line for the training record, e.g. ``2 × Intel(R) Xeon(R) Processor``."""
    gpus = gpu_names()
    if gpus:
        return f"{len(gpus)} × {gpus[0]}"
    return f"{os.cpu_count()} × {_cpu_model()}"


def _cpuinfo(key: str) -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return ""


def _cpu_flags() -> set[str]:
    return set(_cpuinfo("flags").split())


def _cpu_model() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()
