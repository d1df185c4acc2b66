"""Which engines and precisions are tried for a version, best first. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from app.errors import ArtifactError
from app.runtime.keras_backend import KerasBackend
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
        """NVIDIA's compute capability, the least of all GPUs TensorFlow sees; None: of none."""
        ...

    @property
    def jax_gpu_capability(self) -> tuple[int, int] | None:
        """The same of the GPUs that JAX sees."""
        ...

    @property
    def has_jax(self) -> bool:
        """Whether JAX and Keras are installed."""
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
        return _openvino_alone(policy, host, is_exported=is_exported)
    engine = _keras_engine(policy, host, is_frozen_graph=is_frozen_graph)
    if engine == "jax" and not host.has_jax:
        raise ArtifactError(
            "the jax engine is not installed: install keraserve[jax], for GPUs keraserve[jax-gpu]"
        )
    on_gpu = policy.may_use_gpu and gpu_capability(engine, host) is not None
    if policy.names_gpu and not on_gpu:
        seer = "JAX" if engine == "jax" else "TensorFlow"
        raise ArtifactError(
            f"{seer} sees no GPU, asked for is {', '.join(policy.devices)} (KERASERVE_DEVICES)"
        )
    precisions = _precisions(policy, host, engine, on_gpu=on_gpu, is_frozen_graph=is_frozen_graph)
    is_keras_first = policy.engine != "auto" or on_gpu or not is_exported
    if is_keras_first or not host.has_openvino or policy.precision == "float16":
        if not precisions:
            raise ArtifactError(_why_not(policy, engine, is_frozen_graph=is_frozen_graph))
        return _choices(policy, engine, precisions)
    first = _choices(policy, "openvino", _openvino(policy, host))
    if engine == "tensorflow" and not host.has_tensorflow:
        return first
    # Where OpenVINO does not compute what training did, the published network may.
    return (*first, *_choices(policy, engine, precisions))


def gpu_capability(engine: EngineName, host: Host) -> tuple[int, int] | None:
    """Return the compute capability of the GPUs that an engine sees; None where it sees none."""
    return host.jax_gpu_capability if engine == "jax" else host.gpu_capability


def _keras_engine(policy: EnginePolicy, host: Host, *, is_frozen_graph: bool) -> KerasBackend:
    """Return what executes Keras networks: on a GPU if one of the two sees one."""
    if policy.engine in ("tensorflow", "jax"):
        return policy.engine
    if is_frozen_graph or not host.has_jax:
        return "tensorflow"
    if policy.may_use_gpu and not host.has_gpu and host.jax_gpu_capability is not None:
        return "jax"
    return "tensorflow" if host.has_tensorflow else "jax"


def _openvino_alone(
    policy: EnginePolicy, host: Host, *, is_exported: bool
) -> tuple[EnginePolicy, ...]:
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


def _precisions(
    policy: EnginePolicy, host: Host, engine: EngineName, *, on_gpu: bool, is_frozen_graph: bool
) -> tuple[NumberFormat, ...]:
    """Return the precisions to try; none where the one that is asked for cannot be had."""
    if is_frozen_graph:
        can = engine == "tensorflow" and policy.precision in ("auto", "float32")
        return ("float32",) if can else ()
    if policy.precision != "auto":
        return (policy.precision,) if policy.precision != "float16" or on_gpu else ()
    rough: tuple[NumberFormat, ...] = ()
    if on_gpu:
        # As fast as each other, but float16 has eight times the digits. What is beyond its range
        # gives infinity, and fails the self-test.
        capability = gpu_capability(engine, host) or (0, 0)
        rough += ("float16",) if capability >= FLOAT16_CAPABILITY else ()
        rough += ("bfloat16",) if capability >= BFLOAT16_CAPABILITY else ()
    elif engine == "tensorflow" and host.has_tensorflow_bfloat16:
        rough = ("bfloat16",)
    return (*rough, "float32")


def _openvino(policy: EnginePolicy, host: Host) -> tuple[NumberFormat, ...]:
    if policy.precision != "auto":
        return (policy.precision,)
    return ("bfloat16", "float32") if host.has_bfloat16 else ("float32",)


def _why_not(policy: EnginePolicy, engine: EngineName, *, is_frozen_graph: bool) -> str:
    if is_frozen_graph and engine == "jax":
        return (
            "the version is a frozen graph, which the jax engine cannot execute: use the "
            "tensorflow engine, or openvino where it was exported (KERASERVE_ENGINE)"
        )
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
