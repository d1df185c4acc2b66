"""Requests that leave when they are due, whatever the answers do."""

from __future__ import annotations

import itertools
import math

import pytest

from app.load.connection import Connection
from app.load.open_loop import IDLE_S, OpenLoop
from app.load.recorder import LOST, NOT_CONNECTED, NOT_SENT, UNANSWERED, LoadResult, Recorder
from tests.fakes import FakeClock
from tests.unit.load.puppets import PuppetDialer, RecordingTransport, settle

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
LAST_ANSWER = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
REFUSAL = b"HTTP/1.1 429 No\r\ncontent-length: 0\r\n\r\n"
WARM_UP_S, WINDOW_S = 2.5, 4.0


class Bench:
    """An open loop with a request every second, ``0`` after one second, on a fake clock.

    Those at the seconds 3, 4, 5 and 6 are due in the window: ``2``, ``3``, ``4`` and ``5``.
    """

    def __init__(self, limit: int = 10) -> None:
        self.clock = FakeClock()
        self.dialer = PuppetDialer(self.clock)
        self.recorder = Recorder(deadline_s=1.5)
        requests = (b"%d" % number for number in itertools.count())
        due = (float(second) for second in itertools.count(1))
        self.loop = OpenLoop(self.dialer, requests, due, limit, self.recorder, clock=self.clock)
        self.loop.start(self, WARM_UP_S, WINDOW_S)

    def set(self, at_s: float) -> None:
        """Be the alarm of the loop."""
        self.clock.call_later(at_s - self.clock(), self.loop.wake)

    def seconds(self, count: float) -> None:
        self.clock.advance(count)

    def let_in(self) -> tuple[Connection, RecordingTransport]:
        return self.dialer.let_in()

    @property
    def result(self) -> LoadResult:
        return self.recorder.result(WINDOW_S)


async def test_requests_leave_when_due_though_nothing_is_answered() -> None:
    bench = Bench()
    for second in range(1, 6):
        bench.seconds(1)
        assert len(bench.dialer.asked) == 1
        _, transport = bench.let_in()
        assert transport.sent == [b"%d" % (second - 1)]
    assert bench.recorder.max_outstanding == 5


async def test_time_counts_from_when_a_request_was_due() -> None:
    bench = Bench()
    bench.seconds(3)
    bench.seconds(0.5)  # the connections open half a second too late
    for _ in range(3):
        connection, _ = bench.let_in()
        connection.data_received(ANSWER)
    assert bench.result.outcomes == {"200": 1}
    assert bench.result.p50_ms == pytest.approx(500)


async def test_a_late_generator_sends_all_that_is_due_and_hides_nothing() -> None:
    bench = Bench()
    bench.seconds(1)
    bench.clock.timers.clear()  # it does not ring
    bench.seconds(3)
    bench.loop.wake()  # at second 4: the requests of 2, 3 and 4
    assert len(bench.dialer.asked) == 4
    for connection in [bench.let_in()[0] for _ in range(4)]:
        connection.data_received(ANSWER)
    assert bench.recorder.offered == 2
    assert bench.result.outcomes == {"200": 2}
    assert bench.result.p99_ms == pytest.approx(990)  # 1 s and 0 s
    assert bench.result.late_p99_ms == pytest.approx(990)


async def test_only_requests_due_in_the_window_count() -> None:
    bench = Bench()
    bench.seconds(1)
    connection, transport = bench.let_in()
    connection.data_received(ANSWER)
    for _ in range(8):
        bench.seconds(1)
        connection.data_received(ANSWER)
    assert len(transport.sent) == 9
    assert bench.recorder.offered == 4
    assert bench.result.outcomes == {"200": 4}
    assert bench.result.images_per_s == 1
    assert bench.result.in_deadline_per_s == 1


async def test_late_answers_are_no_throughput_of_the_window_and_miss_their_deadline() -> None:
    bench = Bench()
    bench.seconds(6)
    connections = [bench.let_in()[0] for _ in range(6)]
    connections[5].data_received(ANSWER)  # at once
    bench.seconds(1)
    for connection in connections[:5]:  # due at 1 to 5, answered at 7, behind the window
        connection.data_received(ANSWER)
    assert bench.result.outcomes == {"200": 4}
    assert bench.recorder.completed == 1
    assert bench.result.in_deadline_per_s == 1 / WINDOW_S
    assert bench.loop.window_answered.is_set()


async def test_refusals_have_times_of_their_own() -> None:
    bench = Bench()
    bench.seconds(3)
    connections = [bench.let_in()[0] for _ in range(3)]
    bench.seconds(0.25)
    connections[2].data_received(REFUSAL)
    assert bench.result.outcomes == {"429": 1}
    assert bench.result.refused_p99_ms == pytest.approx(250)
    assert math.isnan(bench.result.p50_ms)
    assert bench.recorder.completed == 0


async def test_what_is_due_beyond_the_limit_is_not_sent_and_counted() -> None:
    bench = Bench(limit=2)
    bench.seconds(4)
    connection, transport = bench.let_in()
    bench.let_in()
    assert bench.dialer.asked == []
    assert bench.recorder.max_outstanding == 2
    assert bench.result.outcomes == {NOT_SENT: 2}  # of the seconds 3 and 4
    connection.data_received(ANSWER)
    bench.seconds(1)
    assert transport.sent == [b"0", b"4"]
    connection.data_received(ANSWER)
    bench.seconds(1)
    connection.data_received(ANSWER)
    assert not bench.loop.window_answered.is_set()  # another could still be due in it
    bench.seconds(1)
    assert bench.loop.window_answered.is_set()
    assert bench.result.outcomes == {NOT_SENT: 2, "200": 2}
    assert bench.recorder.offered == 4


async def test_connection_freed_last_is_used_first_and_others_not_opened() -> None:
    bench = Bench()
    bench.seconds(2)
    (first, _), (second, used) = bench.let_in(), bench.let_in()
    first.data_received(ANSWER)
    second.data_received(ANSWER)
    bench.seconds(1)
    assert bench.dialer.asked == []
    assert used.sent == [b"1", b"2"]


async def test_answer_frees_a_connection_for_what_waits_for_another() -> None:
    bench = Bench()
    bench.seconds(1)
    connection, transport = bench.let_in()
    bench.seconds(1)
    connection.data_received(ANSWER)
    assert transport.sent == [b"0", b"1"]
    _, spare = bench.let_in()
    assert spare.sent == []
    bench.seconds(1)
    assert spare.sent == [b"2"]


async def test_connection_that_was_idle_for_long_is_closed_and_not_used() -> None:
    bench = Bench()
    bench.seconds(1)
    connection, transport = bench.let_in()
    connection.freed_at = bench.clock() - IDLE_S
    connection.data_received(ANSWER)
    bench.seconds(1)
    assert transport.sent == [b"0", b"1"]
    connection.data_received(ANSWER)
    connection.freed_at -= IDLE_S
    bench.seconds(1)
    assert transport.is_closed
    _, other = bench.let_in()
    assert other.sent == [b"2"]
    await settle()
    bench.loop.give_up()
    assert bench.recorder.outcomes == {UNANSWERED: 1}


async def test_server_that_closes_an_idle_connection_loses_nothing() -> None:
    bench = Bench()
    bench.seconds(3)
    for connection, transport in [bench.let_in() for _ in range(3)]:
        connection.data_received(ANSWER)
        transport.break_down()
    bench.seconds(1)
    assert len(bench.dialer.asked) == 1
    assert bench.recorder.outcomes == {"200": 1}


async def test_server_that_closes_after_each_answer_gets_a_new_connection_each_time() -> None:
    bench = Bench(limit=1)
    for second in range(1, 5):
        bench.seconds(1)
        connection, transport = bench.let_in()
        assert transport.sent == [b"%d" % (second - 1)]
        connection.data_received(LAST_ANSWER)
        await settle()
    assert bench.recorder.outcomes == {"200": 2}


async def test_request_lost_with_its_connection_is_counted_once_even_before_the_window() -> None:
    bench = Bench()
    bench.seconds(3)
    for _ in range(3):
        bench.let_in()
    bench.dialer.opened[0][1].break_down()
    bench.dialer.opened[2][1].break_down()
    bench.loop.give_up()
    await settle()
    assert bench.recorder.outcomes == {LOST: 2}


async def test_server_that_takes_no_connection_costs_each_request_that_needed_one() -> None:
    bench = Bench()
    bench.seconds(4)
    for _ in range(4):
        bench.dialer.refuse()
    assert bench.recorder.outcomes == {NOT_CONNECTED: 4}
    bench.loop.stop()
    assert bench.loop.window_answered.is_set()


async def test_what_is_given_up_is_counted_once_and_only_of_the_window() -> None:
    bench = Bench()
    bench.seconds(4)
    for _ in range(3):
        bench.let_in()
    bench.loop.stop()
    assert not bench.loop.window_answered.is_set()
    bench.loop.give_up()
    assert all(transport.is_closed for _, transport in bench.dialer.opened)
    _, late = bench.let_in()
    assert late.is_closed
    assert late.sent == []
    await settle()
    assert bench.recorder.outcomes == {UNANSWERED: 2}


async def test_nothing_is_sent_after_the_stop() -> None:
    bench = Bench()
    bench.loop.stop()
    bench.seconds(3)
    assert bench.dialer.asked == []
    assert bench.loop.window_answered.is_set()
