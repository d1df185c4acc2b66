"""Which engines, precisions and numbers of threads are measured."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import ArtifactError
from app.runtime.choices import BFLOAT16_CAPABILITY, Host, engine_choices, gpu_capability
from app.runtime.policy import EngineName, EnginePolicy, PrecisionName
from app.tuning.records import Candidate, LeftOut

_ENGINES: tuple[EngineName, ...] = ("openvino", "tensorflow")
_ENGINES_WITH_JAX: tuple[EngineName, ...] = (*_ENGINES, "jax")


def present_candidates(
    policy: EnginePolicy, host: Host, *, is_exported: bool
) -> tuple[Candidate, ...]:
    """Return what a server with these settings tries, in its order; none if it would not start."""
    try:
        choices = engine_choices(policy, host, is_exported=is_exported)
    except ArtifactError:
        return ()
    return tuple(Candidate(choice.engine, choice.precision, choice.threads) for choice in choices)


def all_candidates(
    present: Sequence[Candidate], host: Host, *, is_exported: bool, cores: int
) -> tuple[tuple[Candidate, ...], tuple[LeftOut, ...]]:
    """Return what is worth measuring, most promising first, and what is not possible here.

    First comes what is served now, then each engine and precision with as many threads as it
    chooses, then the other numbers of threads: where time runs out, the last ones are missed least.

    Args:
        present: ``present_candidates``.
        host: What there is to execute with.
        is_exported: Whether the version has its network for the openvino engine.
        cores: That may be used.
    """
    plain: list[Candidate] = []
    left_out: list[LeftOut] = []
    for engine in _ENGINES_WITH_JAX if host.has_jax else _ENGINES:
        for precision in _precisions(engine, host):
            candidate = Candidate(engine, precision)
            reason = _obstacle(candidate, host, is_exported=is_exported)
            if reason is None:
                plain.append(candidate)
            else:
                left_out.append(LeftOut(str(candidate), reason))
    threaded = [
        Candidate(candidate.engine, candidate.precision, threads)
        for threads in _thread_counts(cores)
        for candidate in plain
        if not _takes_by_itself(candidate.engine, threads, host, cores)
    ]
    return tuple(dict.fromkeys((*present, *plain, *threaded))), tuple(left_out)


def _obstacle(candidate: Candidate, host: Host, *, is_exported: bool) -> str | None:
    if candidate.engine == "tensorflow" and not host.has_tensorflow:
        return "TensorFlow is not installed"
    if candidate.engine == "jax" and host.jax_gpu_capability is None:
        return "JAX sees no GPU, and on CPUs XLA is far slower than the other engines"
    policy = EnginePolicy(candidate.engine, candidate.precision)
    try:
        engine_choices(policy, host, is_exported=is_exported)
    except ArtifactError as error:
        return str(error)
    if candidate.precision == "bfloat16" and not _has_bfloat16(candidate.engine, host):
        return "the processor has no bfloat16"
    return None


def _precisions(engine: EngineName, host: Host) -> tuple[PrecisionName, ...]:
    if engine != "openvino" and gpu_capability(engine, host) is not None:
        return ("float16", "bfloat16", "float32")
    return ("bfloat16", "float32")


def _has_bfloat16(engine: EngineName, host: Host) -> bool:
    if engine == "openvino":
        return host.has_bfloat16
    capability = gpu_capability(engine, host)
    if capability is not None:
        return capability >= BFLOAT16_CAPABILITY
    return host.has_tensorflow_bfloat16


def _thread_counts(cores: int) -> list[int]:
    """Return the powers of two below ``cores`` and ``cores`` itself, most first."""
    counts = [1 << power for power in range(cores.bit_length()) if 1 << power < cores]
    return sorted((*counts, cores), reverse=True)


def _takes_by_itself(engine: EngineName, threads: int, host: Host, cores: int) -> bool:
    """Whether more need not be tried: OpenVINO takes physical cores, TensorFlow all of them."""
    if engine != "openvino":
        return gpu_capability(engine, host) is not None or threads == cores
    return cores == 1
