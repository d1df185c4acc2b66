"""Clients that send as soon as their last answer is there."""

from __future__ import annotations

import pytest

from app.load.closed_loop import ClosedLoop
from app.load.recorder import LOST, NOT_CONNECTED, UNANSWERED, Recorder
from tests.unit.load.puppets import PuppetDialer, settle

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nretry-after: 3600\r\n\r\n"
LAST_ANSWER = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
REQUESTS = [b"first", b"second", b"third", b"fourth"]


@pytest.fixture
def dialer() -> PuppetDialer:
    return PuppetDialer()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(deadline_s=60)


def started(
    dialer: PuppetDialer, recorder: Recorder, clients: int = 1, *, honours: bool = False
) -> ClosedLoop:
    loop = ClosedLoop(dialer, REQUESTS, clients, recorder, honours_retry_after=honours)
    loop.is_counting = True
    loop.start()
    return loop


async def test_next_request_goes_out_when_the_answer_is_whole(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    started(dialer, recorder)
    connection, transport = dialer.let_in()
    for position in range(len(ANSWER) - 1):
        connection.data_received(ANSWER[position : position + 1])
    assert transport.sent == [b"first"]
    connection.data_received(ANSWER[-1:])
    assert transport.sent == [b"first", b"second"]
    found = recorder.result(2.0)
    assert found.outcomes == {"200": 1}
    assert (found.offered_per_s, found.images_per_s, found.in_deadline_per_s) == (1.0, 0.5, 0.5)


async def test_clients_begin_at_different_requests_and_go_round_all(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    started(dialer, recorder, clients=2)
    for connection, transport in (dialer.let_in(), dialer.let_in()):
        for _ in range(4):
            connection.data_received(ANSWER)
        assert sorted(transport.sent[:4]) == sorted(REQUESTS)
    firsts = {transport.sent[0] for _, transport in dialer.opened}
    assert firsts == {b"first", b"third"}
    assert recorder.max_outstanding == 2


async def test_only_answers_inside_the_window_count(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    loop = started(dialer, recorder)
    loop.is_counting = False
    connection, _ = dialer.let_in()
    connection.data_received(ANSWER)
    assert recorder.outcomes == {}
    loop.is_counting = True
    connection.data_received(ANSWER)
    assert recorder.outcomes == {"200": 1}


async def test_a_refusal_has_latencies_of_its_own(dialer: PuppetDialer, recorder: Recorder) -> None:
    started(dialer, recorder)
    connection, transport = dialer.let_in()
    connection.data_received(REFUSAL)
    assert len(transport.sent) == 2
    found = recorder.result(1.0)
    assert found.outcomes == {"429": 1}
    assert found.p50_ms != found.p50_ms
    assert found.refused_p99_ms >= 0


async def test_a_refused_client_waits_where_it_honours_what_the_refusal_says(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    loop = started(dialer, recorder, honours=True)
    connection, transport = dialer.let_in()
    connection.data_received(REFUSAL)
    assert transport.sent == [b"first"]
    loop.stop()
    await settle()
    assert transport.is_closed
    assert loop.all_done.is_set()
    assert recorder.outcomes == {"429": 1}


async def test_a_stopped_client_is_done_with_its_last_answer(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    loop = started(dialer, recorder)
    connection, transport = dialer.let_in()
    loop.stop()
    await settle()
    assert not transport.is_closed
    connection.data_received(ANSWER)
    await settle()
    assert loop.all_done.is_set()
    assert transport.sent == [b"first"]
    assert recorder.outcomes == {"200": 1}


async def test_a_lost_request_is_counted_and_its_client_connects_again(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    loop = started(dialer, recorder)
    _, transport = dialer.let_in()
    transport.break_down()
    _, another = dialer.let_in()
    assert another.sent == [b"second"]
    assert not loop.all_done.is_set()
    loop.give_up()
    await settle()
    assert recorder.outcomes == {LOST: 1, UNANSWERED: 1}


async def test_a_server_that_closes_after_its_answer_loses_nothing(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    started(dialer, recorder)
    connection, transport = dialer.let_in()
    connection.data_received(LAST_ANSWER)
    assert transport.sent == [b"first"]
    await settle()
    connection, another = dialer.let_in()
    assert another.sent == [b"second"]
    assert recorder.outcomes == {"200": 1}


async def test_all_is_done_when_no_client_reaches_the_server(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    loop = started(dialer, recorder, clients=2)
    dialer.refuse()
    assert not loop.all_done.is_set()
    dialer.refuse()
    assert loop.all_done.is_set()
    assert recorder.outcomes == {NOT_CONNECTED: 2}


async def test_a_missing_answer_is_counted_once(dialer: PuppetDialer, recorder: Recorder) -> None:
    loop = started(dialer, recorder)
    _, transport = dialer.let_in()
    loop.stop()
    loop.give_up()
    assert transport.is_closed
    assert recorder.outcomes == {UNANSWERED: 1}
    await settle()
    assert recorder.outcomes == {UNANSWERED: 1}


async def test_a_connection_that_opens_too_late_is_closed(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    loop = started(dialer, recorder)
    loop.give_up()
    _, transport = dialer.let_in()
    assert transport.is_closed
    assert transport.sent == []
    await settle()
    assert recorder.outcomes == {}


async def test_what_is_no_answer_is_a_lost_request(
    dialer: PuppetDialer, recorder: Recorder
) -> None:
    started(dialer, recorder)
    connection, transport = dialer.let_in()
    connection.data_received(b"SSH-2.0-OpenSSH\r\n\r\n")
    await settle()
    assert transport.is_closed
    assert recorder.outcomes == {LOST: 1}
