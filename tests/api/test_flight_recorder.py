"""What the recorder keeps, in which order, and for how long; requests are made up."""

from __future__ import annotations

import pytest

from app.api.flight_recorder import FlightRecorder
from app.api.record import RequestRecord
from app.inference.policy import RecorderPolicy
from app.schemas.answers import TimingEntry

ROUTE = "/v1/classify"


class Desk:
    """A recorder with requests that come one second after the other.

    Attributes:
        now_s: On both clocks.
    """

    def __init__(self, **policy: float) -> None:
        self.now_s = 1000.0
        fields = {"failed": 2, "slowest": 3, "window_s": 300.0} | policy
        self.recorder = FlightRecorder(RecorderPolicy(**fields), lambda: self.now_s)  # type: ignore[arg-type]

    def end(
        self, name: str, elapsed_s: float = 0.1, status: int = 200, *, is_image: bool = True
    ) -> None:
        self.now_s += 1
        timing = TimingEntry(1.0, 2.0, 3.0, 10.0, 4) if is_image else None
        record = RequestRecord(name, self.now_s, self.now_s, timing=timing)
        self.recorder.end(record, ROUTE, "POST", status, elapsed_s)

    @property
    def slowest(self) -> list[str]:
        return [flight.record.request_id for flight in self.recorder.slowest(self.now_s)]

    @property
    def failed(self) -> list[str]:
        return [flight.record.request_id for flight in self.recorder.failed()]


def test_slowest_are_kept_slowest_first_whatever_came_between() -> None:
    desk = Desk()
    for name, elapsed_s in [("a", 0.3), ("b", 0.1), ("c", 0.5), ("d", 0.2), ("e", 0.4)]:
        desk.end(name, elapsed_s)
    for number in range(100):
        desk.end(f"quick {number}", 0.01)

    assert desk.slowest == ["c", "e", "a"]
    assert desk.failed == []


def test_equally_slow_ones_are_kept_up_to_the_limit() -> None:
    desk = Desk()
    for number in range(10):
        desk.end(str(number), 0.1)

    assert desk.slowest == ["0", "1", "2"]


def test_what_was_slow_counts_for_two_windows_and_no_longer() -> None:
    desk = Desk()
    desk.end("old", 9.0)
    desk.now_s += 300
    desk.end("new", 0.1)
    assert desk.slowest == ["old", "new"]

    desk.now_s += 300
    desk.end("newer", 0.2)
    assert desk.slowest == ["newer", "new"]


def test_what_was_slow_is_forgotten_though_nothing_comes_after_it() -> None:
    desk = Desk()
    desk.end("old", 9.0)
    desk.now_s += 601
    assert desk.slowest == []

    desk.end("new", 0.1)
    assert desk.slowest == ["new"]


def test_what_classified_nothing_is_not_among_the_slowest() -> None:
    desk = Desk()
    desk.end("an order that waits", 60.0, 200, is_image=False)
    assert desk.slowest == []


def test_last_failures_are_kept_those_of_the_server_apart_from_those_of_callers() -> None:
    desk = Desk()
    for name, status in [("a", 500), ("b", 504), ("c", 503), ("d", 422), ("e", 499), ("f", 401)]:
        desk.end(name, 0.1, status, is_image=False)
    assert desk.failed == ["f", "e", "c", "b"]

    for number in range(100):
        desk.end(str(number), 0.1, 404, is_image=False)
    assert desk.failed == ["99", "98", "c", "b"]
    assert desk.slowest == []


def test_refusals_push_nothing_out_and_are_not_kept() -> None:
    desk = Desk()
    desk.end("slow", 0.5)
    desk.end("broken", 0.1, 500)
    for number in range(100):
        desk.end(str(number), 9.0, 429)

    assert (desk.slowest, desk.failed) == (["slow"], ["broken"])


@pytest.mark.parametrize("what", ["failed", "slowest"])
def test_nothing_is_kept_where_nothing_is_to_be_kept(what: str) -> None:
    desk = Desk(**{what: 0})
    desk.end("slow", 0.5)
    desk.now_s += 301
    desk.end("slow", 0.5)
    desk.end("broken", 0.1, 500)

    assert getattr(desk, what) == []
    assert len(desk.slowest) + len(desk.failed) > 0
