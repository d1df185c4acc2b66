"""Which engines and precisions are tried for a version, best first. Pure, but for ``ThisHost``."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from app.errors import ArtifactError
from app.runtime.policy import EnginePolicy, PrecisionName

_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


class Host(Protocol):
    """What there is to execute networks with."""

    @property
    def has_gpu(self) -> bool:
        """Whether TensorFlow sees a GPU."""
        ...

    @property
    def has_tensorflow(self) -> bool:
        """Whether TensorFlow is installed."""
        ...

    @property
    def has_openvino(self) -> bool:
        """Whether OpenVINO is installed."""
        ...

    @property
    def has_bfloat16(self) -> bool:
        """Whether the processor computes in bfloat16, as far as OpenVINO knows."""
        ...


def engine_choices(
    policy: EnginePolicy, host: Host, *, is_exported: bool
) -> tuple[EnginePolicy, ...]:
    """Return what to try for a version until one passes its self-test, at least one.

    Args:
        policy: What is asked for.
        host: What there is.
        is_exported: Whether the version has its network for the openvino engine.

    Returns:
        Policies without ``auto``.

    Raises:
        ArtifactError: What is asked for is not there; says what to install or to do.
    """
    if policy.engine == "tensorflow":
        return _tensorflow(policy)
    if policy.engine == "openvino":
        if not host.has_openvino:
            raise ArtifactError("the openvino engine is not installed: install keraserve[cpu]")
        if not is_exported:
            raise ArtifactError(
                "the version was not exported for the openvino engine (keraserve models export)"
            )
        return _openvino(policy, host)
    if not is_exported or host.has_gpu or not host.has_openvino:
        return _tensorflow(policy)
    # Where OpenVINO does not compute what training did, TensorFlow may.
    has_other = host.has_tensorflow and policy.precision != "bfloat16"
    return (*_openvino(policy, host), *(_tensorflow(policy) if has_other else ()))


def _tensorflow(policy: EnginePolicy) -> tuple[EnginePolicy, ...]:
    if policy.precision == "bfloat16":
        raise ArtifactError(
            "the tensorflow engine computes in float32 (KERASERVE_PRECISION, KERASERVE_ENGINE)"
        )
    return (replace(policy, engine="tensorflow", precision="float32"),)


def _openvino(policy: EnginePolicy, host: Host) -> tuple[EnginePolicy, ...]:
    precisions: tuple[PrecisionName, ...] = (policy.precision,)
    if policy.precision == "auto":
        precisions = ("bfloat16", "float32") if host.has_bfloat16 else ("float32",)
    return tuple(
        replace(policy, engine="openvino", precision=precision) for precision in precisions
    )


class ThisHost:
    """The machine and the environment of this process; engines are imported only to be asked."""

    @cached_property
    def has_gpu(self) -> bool:
        """Whether TensorFlow sees a GPU; it is imported only where there is a driver for one."""
        if not _NVIDIA_DRIVER.exists() or not self.has_tensorflow:
            return False
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))

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
