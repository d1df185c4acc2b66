"""What a soak found: a table, and whether that is good enough."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.report import Table, number
from benchmarks.soak.census import Census
from benchmarks.soak.clients import Tally
from benchmarks.soak.swapping import Swaps

MOST_GROWTH = 1.05
SPARE_THREADS = 2
"""Threads that wait for work are started when it first comes, which may be late."""
SPARE_TASKS = 2
MOST_RESTART = 2.0
"""Nothing is left to be mended after a kill; on a busy machine any start may take longer."""


@dataclass(slots=True)
class Findings:
    """Of one soak.

    Attributes:
        tally: Requests and answers.
        swaps: Versions.
        early: After the first tenth, with all clients gone.
        late: At the end, likewise.
        in_flight: Requests that the server still believed in at the end.
        seconds: It took.
        exit_code: Of the server, after SIGTERM.
        cold_start_s: From the start of a server until it was ready, median of several, each after
            one that had stopped.
        restart_s: The same of those that took the place of one that was killed under load, in
            turns with them.
        most_growth: Of memory, from the first tenth to the end, as a ratio.
        most_restart: ``restart_s`` over ``cold_start_s``.
    """

    tally: Tally = field(default_factory=Tally)
    swaps: Swaps = field(default_factory=Swaps)
    early: Census | None = None
    late: Census | None = None
    in_flight: float = 0.0
    seconds: float = 0.0
    exit_code: int | None = None
    cold_start_s: float = 0.0
    restart_s: float = 0.0
    most_growth: float = MOST_GROWTH
    most_restart: float = MOST_RESTART

    @property
    def growth(self) -> float:
        """Resident memory at the end over that after the first tenth."""
        assert self.early is not None
        assert self.late is not None
        return self.late.resident_mib / self.early.resident_mib

    def faults(self) -> list[str]:
        """Say what is not as it must be."""
        assert self.early is not None
        assert self.late is not None
        early, late = self.early, self.late
        found = [
            (self.tally.wrong > 0, f"{self.tally.wrong} answers are wrong"),
            (self.tally.lost > 0, f"{self.tally.lost} requests were not answered"),
            (
                self.growth > self.most_growth,
                f"memory grew to {self.growth:.3f} of {early.resident_mib:.0f} MiB, at most "
                f"{self.most_growth:g}",
            ),
            (
                late.threads > early.threads + SPARE_THREADS,
                f"{late.threads} threads, {early.threads} before",
            ),
            (
                late.descriptors > early.descriptors,
                f"{late.descriptors} descriptors, {early.descriptors} before",
            ),
            (late.tasks > early.tasks + SPARE_TASKS, f"{late.tasks} tasks, {early.tasks} before"),
            (self.in_flight > 0, f"{self.in_flight:g} requests in flight, and no client"),
            (
                self.restart_s > self.most_restart * self.cold_start_s,
                f"{self.restart_s:.1f} s until it served again after SIGKILL, "
                f"{self.cold_start_s:.1f} s else",
            ),
            (self.exit_code != 0, f"the server ended with {self.exit_code}"),
        ]
        return [text for is_wrong, text in found if is_wrong]

    def summary(self) -> Table:
        """Return what the documents take over."""
        assert self.early is not None
        assert self.late is not None
        early, late = self.early, self.late
        rows = [
            ("requests", f"{self.tally.sent:,}"),
            ("answered", f"{self.tally.answered:,}"),
            ("given up by their clients", f"{self.tally.cancelled:,}"),
            ("answered wrongly (any 5xx, or a status that does not fit)", f"{self.tally.wrong:,}"),
            ("lost", f"{self.tally.lost:,}"),
            ("requests per second", number(self.tally.sent / self.seconds)),
            ("versions that took over meanwhile", str(self.swaps.taken_over)),
            ("broken versions, refused", str(self.swaps.refused)),
            ("resident memory after the first tenth, MiB", f"{early.resident_mib:.0f}"),
            ("resident memory at the end, MiB", f"{late.resident_mib:.0f}"),
            ("growth", f"{100 * (self.growth - 1):+.1f} %"),
            ("threads, before and at the end", f"{early.threads}, {late.threads}"),
            ("descriptors, before and at the end", f"{early.descriptors}, {late.descriptors}"),
            ("tasks, before and at the end", f"{early.tasks}, {late.tasks}"),
            ("exit code after SIGTERM", str(self.exit_code)),
            ("from the start until it serves, s", f"{self.cold_start_s:.2f}"),
            ("the same, after SIGKILL under load, s", f"{self.restart_s:.2f}"),
        ]
        return Table("One soak", ("what", "figure"), rows)

    def answers(self) -> Table:
        """Return the answers by kind of request."""
        rows = [
            (name, f"{counter.total():,}", _by_status(counter))
            for name, counter in sorted(
                self.tally.answers.items(), key=lambda item: -item[1].total()
            )
        ]
        return Table("Answers", ("request", "answers", "by status"), rows)


def _by_status(counter: dict[int, int]) -> str:
    return ", ".join(f"{status}: {count:,}" for status, count in sorted(counter.items()))
