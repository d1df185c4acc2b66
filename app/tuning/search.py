"""Which candidate is measured when, within a limit of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from app.tuning.goals import Goal
from app.tuning.records import (
    ENOUGH_ROUNDS,
    SCOUTING,
    Candidate,
    CandidateError,
    Curve,
    Findings,
    LeftOut,
    Measurer,
    RefusedError,
)

StartMeasurer = Callable[[Candidate, Sequence[int], float], Measurer]
"""Loads a candidate for batch sizes within seconds, or raises ``CandidateError``."""

_SCOUTING_SHARE = 0.6
"""Of the time at most, so that the best are measured in turns, too."""

_RESERVE_S, _RESERVE_SHARE = 2.0, 0.1
"""Kept, whichever is less, to end processes and to write down what was found."""

_LEAST_LOAD_S = 2.0
"""Nothing loads faster than in half of it: with less left, nothing is started."""

_FINALISTS = 4
"""Stay loaded: each takes up to 1 GB with TensorFlow."""

_SCOUTING_SLICE_S = 0.15
_ROUNDS = 7
_LEAST_SLICE_S, _MOST_SLICE_S = 0.05, 0.25
"""Of one candidate at one batch size in one round: dozens of executions of small networks."""

_TIMED_SHARE = 0.8
"""Of a slice; the rest goes to an execution before it, and to the last one, which is whole."""

_ANSWER_S = 20.0
"""Beyond what a measurement should take; who needs longer hangs."""


class Search:
    """One search, with a limit of time.

    First each candidate is looked at alone, at every batch size; the best stay loaded. Then these
    take turns, and the order is reversed every round: what else happens on the machine hits all of
    them alike.

    Bound: ``run()`` returns at the limit, less a reserve; a candidate that hangs is killed before.
    Failure: a candidate that fails at any time is left out with its reason; the others go on. Where
    an engine refuses a version, other numbers of threads are not tried.
    Interruption: Ctrl-C ends it as the limit does; what was measured is returned.
    """

    def __init__(
        self,
        start: StartMeasurer,
        goal: Goal,
        time_limit_s: float,
        tell: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count the time.

        Args:
            start: Loads candidates.
            goal: What the best are good for.
            time_limit_s: From now on.
            tell: Is told a line at each step.
            clock: In seconds.
        """
        self._start, self._goal, self._tell, self._clock = start, goal, tell, clock
        reserve_s = min(_RESERVE_S, _RESERVE_SHARE * time_limit_s)
        self._limit = f"the limit of {time_limit_s:g} s (--time-limit-s)"
        self._end_s = clock() + time_limit_s - reserve_s
        self._scouting_end_s = clock() + _SCOUTING_SHARE * time_limit_s
        self._curves: dict[Candidate, Curve] = {}
        self._loaded: dict[Candidate, Measurer] = {}
        self._left_out: list[LeftOut] = []
        self._refused: set[tuple[str, str]] = set()
        self._ended_by: str | None = None

    def run(
        self,
        candidates: Sequence[Candidate],
        present: Sequence[Candidate],
        batch_sizes: Sequence[int],
    ) -> Findings:
        """Measure.

        Args:
            candidates: Most promising first.
            present: Those that a server tries now; the first that can be measured stays to the
                end, as what the others are compared with.
            batch_sizes: Ascending, images.
        """
        try:
            for candidate in candidates:
                self._scout(candidate, batch_sizes)
                self._drop_the_worst(present)
            self._take_turns()
        except KeyboardInterrupt:
            self._ended_by = "interrupted"
        finally:
            for measurer in self._loaded.values():
                measurer.close()
        known = (self._curves.get(candidate) for candidate in candidates)
        measured = tuple(curve for curve in known if curve is not None and curve.points)
        return Findings(measured, tuple(self._left_out), self._ended_by)

    def _scout(self, candidate: Candidate, batch_sizes: Sequence[int]) -> None:
        if (candidate.engine, candidate.precision) in self._refused:
            return
        left_s = self._scouting_end_s - self._clock()
        if left_s < _LEAST_LOAD_S:
            self._ended_by = self._limit
            self._left_out.append(LeftOut(str(candidate), "no time was left for it"))
            return
        try:
            # Half of what is left, so that one that hangs leaves time for others.
            timeout_s = max(left_s / 2, _LEAST_LOAD_S)
            measurer = self._start(candidate, batch_sizes, timeout_s)
        except CandidateError as error:
            if isinstance(error, RefusedError):
                self._refused.add((candidate.engine, candidate.precision))
            self._leave_out(candidate, error)
            return
        self._loaded[candidate] = measurer
        curve = self._curves[candidate] = Curve(candidate, measurer.shared_from)
        try:
            for size in self._affordable(curve, measurer.batch_sizes):
                self._measure(curve, SCOUTING, size, _SCOUTING_SLICE_S)
        except CandidateError as error:
            self._leave_out(candidate, error)
            return
        if curve.points:
            best = max(curve.points, key=lambda point: point.images_per_s)
            self._tell(
                f"{candidate}: {best.images_per_s:,.0f} images/s in batches of {best.batch_size}, "
                f"{curve.points[0].p50_s * 1000:.3g} ms for {curve.points[0].batch_size}"
            )
        else:
            self._leave_out(candidate, CandidateError("no time was left for it"))

    def _affordable(self, curve: Curve, batch_sizes: Sequence[int]) -> Iterator[int]:
        """Yield sizes while two executions of the next one fit into what is left for scouting."""
        for size in batch_sizes:
            left_s = self._scouting_end_s - self._clock()
            points = curve.points
            expected_s = 2 * points[-1].p50_s * size / points[-1].batch_size if points else 0.0
            if expected_s >= min(left_s, _ANSWER_S):
                self._tell(f"{curve.candidate}: batches of {size} and more take too long")
                return
            yield size

    def _drop_the_worst(self, present: Sequence[Candidate]) -> None:
        kept = next((candidate for candidate in present if candidate in self._loaded), None)
        while len(self._loaded) > _FINALISTS:
            worst = min(
                (candidate for candidate in self._loaded if candidate != kept),
                key=lambda candidate: self._goal.score(self._curves[candidate]),
            )
            self._loaded.pop(worst).close()

    def _take_turns(self) -> None:
        sizes = sorted({p.batch_size for c in self._loaded for p in self._curves[c].points})
        slices = len(sizes) * max(len(self._loaded), 1)
        if not slices:
            return
        slice_s = _TIMED_SHARE * (self._end_s - self._clock()) / (slices * _ROUNDS)
        slice_s = min(max(slice_s, _LEAST_SLICE_S), _MOST_SLICE_S)
        for turn in range(1, _ROUNDS + 1):
            for size in sizes:
                for candidate in list(self._loaded)[:: 1 if turn % 2 else -1]:
                    if not self._take_turn(candidate, turn, size, slice_s):
                        if turn <= ENOUGH_ROUNDS:
                            self._ended_by = self._limit
                        return
            self._tell(f"round {turn} of {_ROUNDS}")

    def _take_turn(self, candidate: Candidate, turn: int, size: int, slice_s: float) -> bool:
        """Measure, where the candidate takes the size; return False where the time is over."""
        curve = self._curves[candidate]
        known = {point.batch_size: point for point in curve.points}
        if size not in known:
            return True
        if self._clock() + slice_s + 2 * known[size].p99_s >= self._end_s:
            return False
        try:
            self._measure(curve, turn, size, slice_s)
        except CandidateError as error:
            self._leave_out(candidate, error)
        return True

    def _measure(self, curve: Curve, turn: int, size: int, seconds: float) -> None:
        measurer = self._loaded[curve.candidate]
        timeout_s = min(seconds + _ANSWER_S, max(self._end_s - self._clock(), 0.0))
        curve.add(turn, size, measurer.measure(size, seconds, timeout_s))
        curve.memory_bytes = measurer.memory_bytes

    def _leave_out(self, candidate: Candidate, error: CandidateError) -> None:
        self._curves.pop(candidate, None)
        measurer = self._loaded.pop(candidate, None)
        if measurer is not None:
            measurer.close()
        self._left_out.append(LeftOut(str(candidate), str(error)))
        self._tell(f"{candidate}: left out, {error}")
