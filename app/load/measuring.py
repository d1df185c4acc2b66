"""One measurement: warm-up, window, the last answers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

from app.load.alarm import Alarm
from app.load.arrivals import arrivals
from app.load.closed_loop import ClosedLoop
from app.load.connection import Address, Dialer
from app.load.open_loop import OpenLoop
from app.load.recorder import LoadResult, Recorder

CONNECTIONS = 512
"""Most connections of an open loop, unless told otherwise: a server with the usual limit of 1,024
open files can take them, and by Little's law they carry 5,000 requests/s of 100 ms each."""

COOL_DOWN_S = 1.0
"""Requests go on being sent after the window, so that its last ones are answered under the same
load as its first ones; at most so long, and no longer than each of the window has its answer."""

ANSWER_WAIT_S = 30.0
"""Then nothing is sent any more, and what is still not answered after this is given up."""


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class Window:
    """When a measurement counts.

    Attributes:
        seconds: Its length, above 0.
        warm_up_s: The same load before it, not counted.
        deadline_s: Answers 200 within it are counted apart; infinite for none.
        answer_wait_s: Longest wait for the last answers.
        at_edge: Called at the begin and at the end of the window, to read clocks and counters.
    """

    seconds: float
    warm_up_s: float
    deadline_s: float = float("inf")
    answer_wait_s: float = ANSWER_WAIT_S
    at_edge: Callable[[], None] = _nothing


async def run_closed(
    address: Address,
    requests: Sequence[bytes],
    clients: int,
    window: Window,
    *,
    honours_retry_after: bool = False,
) -> LoadResult:
    """Load a server with clients that send as soon as their last answer is there.

    Ends early if no client can reach the server any more.
    """
    recorder = Recorder(window.deadline_s)
    dialer = Dialer(address)
    loop = ClosedLoop(dialer, requests, clients, recorder, honours_retry_after=honours_retry_after)
    try:
        with undisturbed():
            loop.start()
            await _passed(loop.all_done, window.warm_up_s)
            window.at_edge()
            began_at, loop.is_counting = perf_counter(), True
            await _passed(loop.all_done, window.seconds)
            loop.is_counting, seconds = False, perf_counter() - began_at
            window.at_edge()
            loop.stop()
            await _passed(loop.all_done, window.answer_wait_s)
    finally:
        loop.give_up()
        await dialer.close()
    return recorder.result(seconds)


async def run_open(
    address: Address,
    requests: Sequence[bytes],
    rate_per_s: float,
    window: Window,
    *,
    connections: int = CONNECTIONS,
    kind: str = "poisson",
) -> LoadResult:
    """Load a server at a rate, whatever its answers do.

    Args:
        address: The server's.
        requests: Sent in turn.
        rate_per_s: Mean rate, above 0.
        window: When requests count, by the time at which they are due.
        connections: Most requests without an answer at one time; what is due beyond is not sent.
        kind: One of ``ARRIVALS``.
    """
    recorder = Recorder(window.deadline_s)
    dialer = Dialer(address)
    due = arrivals(rate_per_s, kind)
    loop = OpenLoop(dialer, itertools.cycle(requests), due, connections, recorder)
    alarm = Alarm(loop.wake)
    try:
        with undisturbed():
            loop.start(alarm, window.warm_up_s, window.seconds)
            await asyncio.sleep(window.warm_up_s)
            window.at_edge()
            await asyncio.sleep(window.seconds)
            window.at_edge()
            await _passed(loop.window_answered, min(COOL_DOWN_S, window.answer_wait_s))
            loop.stop()
            await _passed(loop.window_answered, window.answer_wait_s)
    finally:
        alarm.close()
        loop.give_up()
        await dialer.close()
    return recorder.result(window.seconds)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Collect no garbage meanwhile: a pause of the generator must not show up as the server's."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


async def _passed(event: asyncio.Event, timeout_s: float) -> None:
    """Return when the event is set, or after the time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
