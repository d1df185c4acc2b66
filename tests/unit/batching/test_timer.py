from __future__ import annotations

from collections.abc import Callable

from app.batching.timer import MomentTimer
from tests.fakes import FakeClock


def test_it_calls_once_at_its_moment() -> None:
    clock = FakeClock(100.0)
    calls: list[float] = []
    timer = MomentTimer(calls.append, clock, clock.call_later)
    timer.set(100.5)
    clock.advance(0.4)
    assert calls == []
    clock.advance(5.0)
    assert calls == [100.5]


def test_setting_the_same_moment_again_costs_no_timer() -> None:
    clock = FakeClock(100.0)
    timer = MomentTimer(lambda now_s: None, clock, clock.call_later)
    timer.set(101.0)
    (handle,) = clock.timers
    timer.set(101.0)
    assert clock.timers == [handle]


def test_a_new_moment_replaces_the_old_one() -> None:
    clock = FakeClock(100.0)
    calls: list[float] = []
    timer = MomentTimer(calls.append, clock, clock.call_later)
    timer.set(101.0)
    timer.set(102.0)
    clock.advance(9.0)
    assert calls == [102.0]


def test_none_stops_it() -> None:
    clock = FakeClock(100.0)
    calls: list[float] = []
    timer = MomentTimer(calls.append, clock, clock.call_later)
    timer.set(101.0)
    timer.set(None)
    clock.advance(9.0)
    assert (calls, clock.timers) == ([], [])


def test_a_moment_in_the_past_is_due_now() -> None:
    clock = FakeClock(100.0)
    calls: list[float] = []
    MomentTimer(calls.append, clock, clock.call_later).set(99.0)
    clock.advance(0.0)
    assert calls == [100.0]


def test_an_event_loop_that_is_early_counts_as_on_time() -> None:
    clock = FakeClock(100.0)
    calls: list[float] = []
    timer = MomentTimer(calls.append, clock, lambda s, call: clock.call_later(s / 2, call))
    timer.set(100.001)
    clock.advance(0.0005)
    assert calls == [100.001]


def test_a_callback_that_could_not_be_cancelled_any_more_does_nothing() -> None:
    clock = FakeClock(100.0)
    calls: list[float] = []
    callbacks: list[Callable[[], None]] = []

    class Deaf:
        def cancel(self) -> None:
            pass

    def call_later(delay_s: float, callback: Callable[[], None]) -> Deaf:
        callbacks.append(callback)
        return Deaf()

    timer = MomentTimer(calls.append, clock, call_later)
    timer.set(101.0)
    timer.set(None)
    callbacks[0]()
    assert calls == []
