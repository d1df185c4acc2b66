"""What is measured, and how it is summed up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from app.errors import ServingError
from app.runtime.policy import EngineName, PrecisionName

SCOUTING = 0
"""The round in which each candidate is looked at alone; from 1 on they take turns."""

ENOUGH_ROUNDS = 3
"""To tell a difference from what else happens on the machine."""


class CandidateError(ServingError):
    """A candidate cannot be measured; the message says why."""


class RefusedError(CandidateError):
    """It says so itself, before it has executed anything: more or fewer threads change nothing."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to execute a version.

    Attributes:
        engine: Never ``auto``.
        precision: Never ``auto``.
        threads: As ``EnginePolicy`` has it; 0 is the engine's own choice.
    """

    engine: EngineName
    precision: PrecisionName
    threads: int = 0

    def __str__(self) -> str:
        """Return it as people read it: openvino bfloat16, 1 thread."""
        name = f"{self.engine} {self.precision}"
        if not self.threads:
            return name
        return f"{name}, {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A candidate that was not measured, or not to its end, and why."""

    name: str
    reason: str


class Measurer(Protocol):
    """Executes batches of one candidate and times them."""

    @property
    def batch_sizes(self) -> Sequence[int]:
        """What the device has room for, ascending, images."""
        ...

    @property
    def shared_from(self) -> int:
        """Images of a batch that shares the processor with another one; 1 where none does."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the process that executes, after the latest batch."""
        ...

    def measure(self, batch_size: int, seconds: float, timeout_s: float) -> Sequence[float]:
        """Execute batches for ``seconds``, at least one; return how long each took, s.

        Raises:
            CandidateError: It failed, died, or did not answer within ``timeout_s``.
        """
        ...

    def close(self) -> None:
        """Free what it holds; it measures nothing afterwards. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Point:
    """One batch size of a candidate.

    Attributes:
        batch_size: Images in one execution.
        p50_s: Half of the executions took no longer.
        p99_s: So did 99 of 100; of fewer executions, the longest.
        images_per_s: Median of the rounds.
        least_images_per_s: Of the slowest round.
        most_images_per_s: Of the fastest round.
        executions: How many were timed.
    """

    batch_size: int
    p50_s: float
    p99_s: float
    images_per_s: float
    least_images_per_s: float
    most_images_per_s: float
    executions: int

    @property
    def longest_wait_s(self) -> float:
        """What a request waits at most while no more than one batch waits with it, s.

        The batch that runs when it comes, and then its own. One of them may be slow, at p99: that
        both are is one case in 10,000.
        """
        return self.p50_s + self.p99_s


class Curve:
    """All that was measured of one candidate. Belongs to the thread that measures.

    Attributes:
        candidate: What was measured.
        shared_from: Images of a batch that, in a server, shares the processor with another one.
        memory_bytes: Of the process that executed.
    """

    def __init__(self, candidate: Candidate, shared_from: int = 1) -> None:
        """Begin with nothing."""
        self.candidate = candidate
        self.shared_from = shared_from
        self.memory_bytes = 0
        self._durations: dict[int, dict[int, tuple[float, ...]]] = {}

    def add(self, turn: int, batch_size: int, durations_s: Iterable[float]) -> None:
        """Take the durations of one round, ``SCOUTING`` or later; at least one."""
        self._durations.setdefault(batch_size, {})[turn] = tuple(durations_s)

    @property
    def points(self) -> tuple[Point, ...]:
        """What was measured, by batch size, ascending."""
        return tuple(self._point(size) for size in sorted(self._durations))

    @property
    def rounds(self) -> int:
        """In how many rounds it took its turn to the end."""
        counts = [sum(turn != SCOUTING for turn in by_turn) for by_turn in self._durations.values()]
        return min(counts, default=0)

    def images_per_s(self, batch_size: int) -> dict[int, float]:
        """Return images per second by round; of scouting only where there is nothing else."""
        return {
            turn: batch_size * len(durations) / sum(durations)
            for turn, durations in self._counted(batch_size).items()
        }

    def p50_s(self, batch_size: int) -> dict[int, float]:
        """Return the median duration of an execution by round, s; as ``images_per_s`` does."""
        return {turn: median(durations) for turn, durations in self._counted(batch_size).items()}

    def _counted(self, batch_size: int) -> dict[int, tuple[float, ...]]:
        by_turn = self._durations[batch_size]
        later = {turn: durations for turn, durations in by_turn.items() if turn != SCOUTING}
        return later or by_turn

    def _point(self, batch_size: int) -> Point:
        durations = sorted(d for part in self._counted(batch_size).values() for d in part)
        speeds = self.images_per_s(batch_size).values()
        return Point(
            batch_size=batch_size,
            p50_s=median(durations),
            p99_s=durations[math.ceil(0.99 * len(durations)) - 1],
            images_per_s=median(speeds),
            least_images_per_s=min(speeds),
            most_images_per_s=max(speeds),
            executions=len(durations),
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """What a search has brought.

    Attributes:
        curves: Of the candidates that were measured without a failure, in their order.
        left_out: The others.
        ended_by: ``None`` where it was finished, else what cut it short.
    """

    curves: tuple[Curve, ...]
    left_out: tuple[LeftOut, ...]
    ended_by: str | None = None
