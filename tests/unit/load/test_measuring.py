"""Whole measurements, of a server that answers as it is told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

import pytest

from app.load.alarm import Alarm
from app.load.connection import Address
from app.load.measuring import Window, run_closed, run_open
from app.load.recorder import LOST, NOT_CONNECTED, NOT_SENT, UNANSWERED

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
SHORT = Window(seconds=0.1, warm_up_s=0.02, answer_wait_s=0.05)

pytestmark = pytest.mark.timeout(20)


@dataclass
class Peer:
    """A server of one fixed answer; None: it never answers; empty: it closes instead."""

    answer: bytes | None
    requests: int = 0
    connections: int = 0
    address: Address = field(init=False)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    was_left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                self.was_asked.set()
                if self.answer is not None:
                    writer.write(self.answer)
                if self.answer == b"":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.was_left.set()
            writer.close()


@asynccontextmanager
async def serving(answer: bytes | None) -> AsyncIterator[Peer]:
    peer = Peer(answer)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    async with server:
        yield peer


@pytest.mark.parametrize("answer", [ANSWER, CHUNKS])
async def test_closed_loop_counts_what_the_server_answers(answer: bytes) -> None:
    edges: list[int] = []
    async with serving(answer) as peer:
        window = Window(0.1, 0.02, deadline_s=60, at_edge=lambda: edges.append(peer.requests))
        found = await run_closed(peer.address, [REQUEST], 3, window)
        assert peer.connections == 3
    count = found.outcomes.pop("200")
    assert found.outcomes == {}
    assert 0 < count <= edges[1] - edges[0] + 3
    assert found.images_per_s == pytest.approx(count / found.seconds)
    assert found.in_deadline_per_s == found.images_per_s
    assert 0 < found.p50_ms <= found.p99_ms
    assert gc.isenabled()


@pytest.mark.parametrize("kind", ["poisson", "constant"])
async def test_open_loop_offers_its_rate(kind: str) -> None:
    async with serving(ANSWER) as peer:
        window = Window(0.2, 0.02, deadline_s=60)
        found = await run_open(peer.address, [REQUEST], 200, window, kind=kind)
        sent = sum(found.outcomes.values())
        assert set(found.outcomes) <= {"200", NOT_SENT}
    assert found.offered_per_s == sent / 0.2
    assert 20 <= sent <= 60
    assert gc.isenabled()


async def test_server_that_never_answers_is_not_waited_for_without_end() -> None:
    async with serving(None) as peer:
        closed = await run_closed(peer.address, [REQUEST], 2, SHORT)
        opened = await run_open(peer.address, [REQUEST], 200, SHORT, connections=3)
    assert closed.outcomes == {UNANSWERED: 2}
    assert opened.max_outstanding == 3
    assert set(opened.outcomes) <= {UNANSWERED, NOT_SENT}
    assert opened.outcomes[NOT_SENT] > 0
    assert sum(opened.outcomes.values()) == round(opened.offered_per_s * SHORT.seconds)


async def test_server_that_closes_instead_of_answering_loses_requests() -> None:
    async with serving(b"") as peer:
        closed = await run_closed(peer.address, [REQUEST], 1, SHORT)
        opened = await run_open(peer.address, [REQUEST], 100, SHORT)
    assert closed.outcomes[LOST] > 0
    assert set(closed.outcomes) <= {LOST, UNANSWERED}
    assert opened.outcomes[LOST] > 0


async def test_server_that_is_not_there_ends_the_closed_loop_early() -> None:
    async with serving(ANSWER) as peer:
        pass
    found = await run_closed(peer.address, [REQUEST], 2, Window(3600, 3600))
    assert found.outcomes == {NOT_CONNECTED: 2}
    assert found.images_per_s == 0
    opened = await run_open(peer.address, [REQUEST], 100, SHORT)
    assert set(opened.outcomes) == {NOT_CONNECTED}


async def test_measurement_that_is_cancelled_leaves_nothing_open() -> None:
    async with serving(None) as peer:
        task = asyncio.create_task(run_open(peer.address, [REQUEST], 1000, Window(3600, 0)))
        await peer.was_asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await peer.was_left.wait()
        assert gc.isenabled()


async def test_alarm_rings_once_and_not_too_early() -> None:
    rung: asyncio.Queue[float] = asyncio.Queue()
    alarm = Alarm(lambda: rung.put_nowait(perf_counter()))
    try:
        begin = perf_counter()
        alarm.set(begin + 3600)
        alarm.set(begin + 0.002)
        assert await rung.get() >= begin + 0.002
        alarm.set(begin)  # past
        await rung.get()
        assert rung.empty()
    finally:
        alarm.close()
