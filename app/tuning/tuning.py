"""From a version to what should be set for it on this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from app.artifacts.layout import OPENVINO_MODEL
from app.runtime.choices import Host
from app.runtime.host import ThisHost, usable_cores
from app.runtime.policy import EnginePolicy
from app.tuning.candidates import all_candidates, present_candidates
from app.tuning.goals import Goal
from app.tuning.measuring_process import MeasuringProcess
from app.tuning.recommendation import Recommendation, recommend
from app.tuning.records import Findings
from app.tuning.search import Search, StartMeasurer

_LARGEST_ON_CPU, _LARGEST_ON_GPU = 64, 256
"""Throughput stops growing with the batch far before that on CPUs, and about there on GPUs."""

_MUCH = 0.25
"""Of the cores: with two, half of one, which an execution with two threads waits for."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was found.

    Attributes:
        servable: ``name:version``.
        machine: What it was measured on, in one line.
        is_busy: Whether something else used much of it before.
        goal: What was wanted.
        policy: What is set now.
        findings: What was measured.
        recommendation: None where nothing could be measured.
    """

    servable: str
    machine: str
    is_busy: bool
    goal: Goal
    policy: EnginePolicy
    findings: Findings
    recommendation: Recommendation | None


def tune_version(
    folder: Path,
    servable: str,
    policy: EnginePolicy,
    goal: Goal,
    time_limit_s: float,
    tell: Callable[[str], None] = lambda _: None,
    *,
    host: Host | None = None,
    start: StartMeasurer | None = None,
) -> Tuned:
    """Measure and choose; Ctrl-C ends the measuring, not the choosing.

    Args:
        folder: Of a verified version.
        servable: ``name:version``.
        policy: What is set now.
        goal: What is wanted.
        time_limit_s: Longest that it may take, s.
        tell: Is told a line at each step.
        host: What there is to execute with; None: find out.
        start: Loads a candidate; None: in a process of its own.
    """
    search = Search(start or partial(MeasuringProcess, folder), goal, time_limit_s, tell)
    busy = os.getloadavg()[0]  # before anything of ours is
    host = host or ThisHost()
    is_exported = (folder / OPENVINO_MODEL).is_file()
    cores = usable_cores()
    present = present_candidates(policy, host, is_exported=is_exported)
    candidates, impossible = all_candidates(present, host, is_exported=is_exported, cores=cores)
    has_gpu = host.has_gpu or host.jax_gpu_capability is not None
    largest = _LARGEST_ON_GPU if has_gpu else _LARGEST_ON_CPU
    found = search.run(candidates, present, _batch_sizes(policy.allowed_batch_sizes, largest))
    findings = replace(found, left_out=(*found.left_out, *impossible))
    return Tuned(
        servable,
        _machine(cores, busy, has_gpu=has_gpu),
        busy > _MUCH * cores,
        goal,
        policy,
        findings,
        recommend(findings.curves, present, policy, goal) if findings.curves else None,
    )


def _machine(cores: int, busy: float, *, has_gpu: bool) -> str:
    """Return what measured: where others compete for the cores, fewer threads may be better."""
    return (
        f"{platform.system()} {platform.machine()}, {cores} {'core' if cores == 1 else 'cores'}, "
        f"{'GPU, ' if has_gpu else ''}{busy:.1f} busy before"
    )


def _batch_sizes(present: Sequence[int], largest: int) -> tuple[int, ...]:
    """Return what is set now, and the powers of two up to ``largest`` or beyond it."""
    most = max(largest, present[-1])
    powers = {1 << power for power in range(most.bit_length()) if 1 << power <= most}
    return tuple(sorted(powers.union(present)))
