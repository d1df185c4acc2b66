"""Which candidate is measured when, with a clock that moves only by measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from app.tuning.goals import Goal
from app.tuning.records import Candidate, CandidateError, Findings, LeftOut, RefusedError
from app.tuning.search import Search
from tests.fakes import FakeClock
from tests.unit.tuning.curves import OV16, OV16_1, OV32, TF

SIZES = (1, 8)
LIMIT_S = 100.0


@dataclass
class Part:
    """How a candidate behaves.

    Attributes:
        load_s: What loading takes.
        refuses: Whether it fails then.
        ms: What the execution of one image takes; a batch takes as many times as long.
        fails_at: Count of the measurement that raises, from 1; 0: never.
        hangs_at: Count of the measurement that lasts until its timeout.
        interrupts_at: Count of the measurement during which somebody presses Ctrl-C.
    """

    load_s: float = 1.0
    refuses: bool = False
    ms: float = 1.0
    fails_at: int = 0
    hangs_at: int = 0
    interrupts_at: int = 0


@dataclass
class Stage:
    """Loads and executes candidates as their parts say."""

    parts: dict[Candidate, Part]
    clock: FakeClock = field(default_factory=FakeClock)
    loaded: list[Candidate] = field(default_factory=list)
    most_loaded: int = 0
    measured: list[tuple[Candidate, int]] = field(default_factory=list)

    def start(self, candidate: Candidate, sizes: Sequence[int], timeout_s: float) -> Actor:
        part = self.parts[candidate]
        self.clock.advance(min(part.load_s, timeout_s))
        if part.load_s > timeout_s:
            raise CandidateError(f"was not ready within {timeout_s:g} s")
        if part.refuses:
            raise RefusedError("self-test: NaN")
        self.loaded.append(candidate)
        self.most_loaded = max(self.most_loaded, len(self.loaded))
        return Actor(self, candidate, part, sizes)

    def search(self, limit_s: float = LIMIT_S, goal: Goal | None = None) -> Findings:
        search = Search(self.start, goal or Goal(), limit_s, clock=self.clock)
        return search.run(list(self.parts), [next(iter(self.parts))], SIZES)


@dataclass
class Actor:
    stage: Stage
    candidate: Candidate
    part: Part
    batch_sizes: Sequence[int]
    memory_bytes: int = 5
    shared_from: int = 4
    count: int = 0

    def measure(self, batch_size: int, seconds: float, timeout_s: float) -> Sequence[float]:
        self.count += 1
        self.stage.measured.append((self.candidate, batch_size))
        if self.count == self.part.interrupts_at:
            raise KeyboardInterrupt
        if self.count == self.part.fails_at:
            raise CandidateError("died of SIGSEGV")
        execution_s = self.part.ms * batch_size / 1000
        executions = max(1, int(seconds / execution_s))
        needed_s = (executions + 1) * execution_s
        if self.count == self.part.hangs_at:
            needed_s = float("inf")
        self.stage.clock.advance(min(needed_s, timeout_s))
        if needed_s > timeout_s:
            raise CandidateError(f"no answer within {timeout_s:g} s")
        return [execution_s] * executions

    def close(self) -> None:
        if self.candidate in self.stage.loaded:
            self.stage.loaded.remove(self.candidate)


def test_everything_is_measured_and_the_best_take_turns() -> None:
    stage = Stage({OV16: Part(), OV32: Part(ms=2), TF: Part(ms=4)})

    found = stage.search()

    assert [curve.candidate for curve in found.curves] == [OV16, OV32, TF]
    assert [curve.rounds for curve in found.curves] == [7, 7, 7]
    assert all([p.batch_size for p in curve.points] == [1, 8] for curve in found.curves)
    assert (found.left_out, found.ended_by) == ((), None)
    first, second = stage.measured[6:9], stage.measured[12:15]
    assert [candidate for candidate, _ in first] == [OV16, OV32, TF]
    assert [candidate for candidate, _ in second] == [TF, OV32, OV16]
    assert found.curves[0].memory_bytes == 5
    assert found.curves[0].shared_from == 4
    assert stage.loaded == []


def test_the_worst_make_room_but_never_what_is_served_now() -> None:
    threads = [Candidate("openvino", "float32", count) for count in range(1, 6)]
    parts = {TF: Part(ms=9)} | {
        entry: Part(ms=ms) for entry, ms in zip(threads, (5, 1, 4, 2, 3), strict=True)
    }
    stage = Stage(parts)

    found = stage.search()

    finalists = [curve.candidate for curve in found.curves if curve.rounds]
    assert finalists == [TF, threads[1], threads[3], threads[4]]
    assert len(found.curves) == 6
    assert stage.most_loaded == 5  # the one that is looked at, and four that stay


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(Part(load_s=1e9), id="never ready"),
        pytest.param(Part(hangs_at=1), id="hangs at once"),
        pytest.param(Part(hangs_at=2), id="hangs at a larger batch"),
        pytest.param(Part(hangs_at=5), id="hangs in a later round"),
        pytest.param(Part(fails_at=1), id="dies at once"),
        pytest.param(Part(fails_at=4), id="dies in a later round"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_who_hangs_or_dies_is_left_out_and_the_others_are_measured(
    slow: Part, is_first: bool
) -> None:
    order = [(TF, slow), (OV16, Part())]
    stage = Stage(dict(order if is_first else order[::-1]))

    found = stage.search()

    assert [curve.candidate for curve in found.curves] == [OV16]
    assert found.curves[0].rounds >= 3
    (left_out,) = found.left_out
    assert left_out.name == str(TF)
    assert left_out.reason
    assert stage.loaded == []
    assert stage.clock() - 1000 <= LIMIT_S


@pytest.mark.parametrize("limit_s", [5, 20, 120])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Part(), id="fast"),
        pytest.param(lambda: Part(load_s=9), id="slow to load"),
        pytest.param(lambda: Part(ms=900), id="slow to execute"),
        pytest.param(lambda: Part(load_s=1e9), id="never ready"),
        pytest.param(lambda: Part(hangs_at=2), id="hanging"),
    ],
)
def test_the_limit_of_time_is_kept(make: Callable[[], Part], limit_s: float) -> None:
    stage = Stage({entry: make() for entry in (OV16, OV32, TF, OV16_1)})

    found = stage.search(limit_s)

    # What runs at the end is one execution before it and one of what it was expected to take.
    assert stage.clock() - 1000 <= limit_s
    assert stage.loaded == []
    names = [str(curve.candidate) for curve in found.curves]
    assert sorted([*names, *(entry.name for entry in found.left_out)]) == sorted(
        map(str, (OV16, OV32, TF, OV16_1))
    )


def test_who_refuses_is_not_asked_again_with_other_threads() -> None:
    stage = Stage({OV16: Part(refuses=True), OV32: Part(), OV16_1: Part()})

    found = stage.search()

    assert [curve.candidate for curve in found.curves] == [OV32]
    assert found.left_out == (LeftOut(str(OV16), "self-test: NaN"),)


def test_who_was_too_slow_to_load_may_be_faster_with_other_threads() -> None:
    stage = Stage({OV16: Part(load_s=1e9), OV16_1: Part()})

    assert [curve.candidate for curve in stage.search().curves] == [OV16_1]


def test_who_was_not_reached_is_told() -> None:
    stage = Stage({OV16: Part(ms=1500), OV32: Part()})

    found = stage.search(5)

    assert found.left_out == (LeftOut(str(OV32), "no time was left for it"),)
    assert [curve.candidate for curve in found.curves] == [OV16]
    assert found.ended_by == "the limit of 5 s (--time-limit-s)"


def test_batches_that_would_take_all_the_time_are_not_begun() -> None:
    stage = Stage({OV16: Part(ms=2000)})

    found = stage.search()

    assert [point.batch_size for point in found.curves[0].points] == [1]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_ctrl_c_returns_what_was_measured(at: int) -> None:
    stage = Stage({OV16: Part(), OV32: Part(interrupts_at=at)})

    found = stage.search()

    assert found.ended_by == "interrupted"
    assert [curve.candidate for curve in found.curves] == [OV16, OV32][: 1 if at == 1 else 2]
    assert stage.loaded == []


def test_without_candidates_nothing_is_found() -> None:
    search = Search(Stage({}).start, Goal(), 10, clock=FakeClock())

    assert search.run([], [], SIZES) == Findings((), ())
