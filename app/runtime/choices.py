"""Which engines and precisions are tried for a version, best first. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from app.errors import ArtifactError
from app.runtime.policy import EngineName, EnginePolicy, NumberFormat

FLOAT16_CAPABILITY = (7, 0)
"""Volta: the first with tensor cores, which is where float16 is more than half of the memory."""

BFLOAT16_CAPABILITY = (8, 0)
"""Ampere: the first whose tensor cores know bfloat16."""


class Host(Protocol):
    """What there is to execute networks with."""

    @property
    def has_gpu(self) -> bool:
        """Whether TensorFlow sees a GPU."""
        ...

    @property
    def gpu_capability(self) -> tuple[int, int] | None:
        """NVIDIA's compute capability, the least of all GPUs; None where there is none."""
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

    @property
    def has_tensorflow_bfloat16(self) -> bool:
        """Whether the processor has instructions for bfloat16 that TensorFlow uses."""
        ...


def engine_choices(
    policy: EnginePolicy, host: Host, *, is_exported: bool, is_frozen_graph: bool = False
) -> tuple[EnginePolicy, ...]:
    """Return what to try for a version until one passes its self-test, at least one.

    Args:
        policy: What is asked for.
        host: What there is.
        is_exported: Whether the version has its network for the openvino engine.
        is_frozen_graph: Whether its network is a graph that Keras cannot build in another
            precision.

    Returns:
        Policies whose engine and precision are not ``auto``.

    Raises:
        ArtifactError: What is asked for is not there; says what to install or to do.
    """
    if policy.engine == "openvino":
        if not host.has_openvino:
            raise ArtifactError("the openvino engine is not installed: install keraserve[cpu]")
        if not is_exported:
            raise ArtifactError(
                "the version was not exported for the openvino engine (keraserve models export)"
            )
        if policy.precision == "float16":
            raise ArtifactError(
                "the openvino engine computes in float32 or bfloat16 (KERASERVE_PRECISION)"
            )
        return _choices(policy, "openvino", _openvino(policy, host))
    if policy.names_gpu and not host.has_gpu:
        raise ArtifactError(
            f"TensorFlow sees no GPU, asked for is {', '.join(policy.devices)} (KERASERVE_DEVICES)"
        )
    on_gpu = host.has_gpu and (policy.names_gpu or not policy.devices)
    tensorflow = _tensorflow(policy, host, on_gpu=on_gpu, is_frozen_graph=is_frozen_graph)
    is_tensorflow_first = policy.engine == "tensorflow" or on_gpu or not is_exported
    if is_tensorflow_first or not host.has_openvino or policy.precision == "float16":
        if not tensorflow:
            raise ArtifactError(_why_not(policy, is_frozen_graph=is_frozen_graph))
        return _choices(policy, "tensorflow", tensorflow)
    first = _choices(policy, "openvino", _openvino(policy, host))
    if not host.has_tensorflow:
        return first
    # Where OpenVINO does not compute what training did, TensorFlow may.
    return (*first, *_choices(policy, "tensorflow", tensorflow))


def _tensorflow(
    policy: EnginePolicy, host: Host, *, on_gpu: bool, is_frozen_graph: bool
) -> tuple[NumberFormat, ...]:
    """Return the precisions to try; none where the one that is asked for cannot be had."""
    if policy.precision != "auto":
        can = policy.precision == "float32" or not is_frozen_graph
        can = can and (policy.precision != "float16" or on_gpu)
        return (policy.precision,) if can else ()
    rough: tuple[NumberFormat, ...] = ()
    if is_frozen_graph:
        rough = ()
    elif on_gpu:
        # As fast as each other, but float16 has eight times the digits. What is beyond its range
        # gives infinity, and fails the self-test.
        capability = host.gpu_capability or (0, 0)
        rough += ("float16",) if capability >= FLOAT16_CAPABILITY else ()
        rough += ("bfloat16",) if capability >= BFLOAT16_CAPABILITY else ()
    elif host.has_tensorflow_bfloat16:
        rough = ("bfloat16",)
    return (*rough, "float32")


def _openvino(policy: EnginePolicy, host: Host) -> tuple[NumberFormat, ...]:
    if policy.precision != "auto":
        return (policy.precision,)
    return ("bfloat16", "float32") if host.has_bfloat16 else ("float32",)


def _why_not(policy: EnginePolicy, *, is_frozen_graph: bool) -> str:
    if is_frozen_graph:
        return (
            "the version is a frozen graph, which the tensorflow engine computes in float32, not "
            f"in {policy.precision} (KERASERVE_PRECISION)"
        )
    return f"{policy.precision} needs a GPU (KERASERVE_PRECISION, KERASERVE_DEVICES)"


def _choices(
    policy: EnginePolicy, engine: EngineName, precisions: tuple[NumberFormat, ...]
) -> tuple[EnginePolicy, ...]:
    return tuple(replace(policy, engine=engine, precision=precision) for precision in precisions)
