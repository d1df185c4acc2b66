"""How long a device has been executing."""

from __future__ import annotations

import pytest

from app.devices.timer import DeviceTimer
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def timer(clock: FakeClock) -> DeviceTimer:
    return DeviceTimer(clock)


def test_idle_time_is_not_counted(timer: DeviceTimer, clock: FakeClock) -> None:
    clock.advance(5)
    with timer:
        clock.advance(2)
    clock.advance(7)
    with timer:
        clock.advance(1)
    assert timer.busy_s == 3


def test_executions_at_once_count_once(timer: DeviceTimer, clock: FakeClock) -> None:
    with timer:
        clock.advance(1)
        with timer:
            clock.advance(1)
        clock.advance(1)
    assert timer.busy_s == 3


def test_one_under_way_counts_until_now(timer: DeviceTimer, clock: FakeClock) -> None:
    with timer:
        clock.advance(4)
        assert timer.busy_s == 4
        clock.advance(4)
        assert timer.busy_s == 8


def test_one_that_raises_ends(timer: DeviceTimer, clock: FakeClock) -> None:
    def execute() -> None:
        with timer:
            clock.advance(1)
            raise ValueError("no scores")

    with pytest.raises(ValueError, match="no scores"):
        execute()
    clock.advance(1)
    assert timer.busy_s == 1
