"""One keep-alive connection to the server under load, and how it is opened."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, cast

from app.load.answer import AnswerError, AnswerReader
from app.types import Clock

CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is; with ``tls``, its certificate must be of ``host``."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Driver(Protocol):
    """Who decides what a connection sends; called on the event loop."""

    def opened(self, connection: Connection) -> None:
        """Take a new connection, which is free."""
        ...

    def not_opened(self) -> None:
        """Take that a connection could not be opened."""
        ...

    def answered(self, connection: Connection, latency_s: float) -> None:
        """Take the whole answer to the connection's request; it is free if it ``keeps_alive``.

        If it does not, ``lost`` follows, without a request.
        """
        ...

    def lost(self, connection: Connection, *, was_busy: bool) -> None:
        """Take the end of a connection, and whether a request was without its answer."""
        ...


class Opener(Protocol):
    """Opens connections; ``Dialer`` is one."""

    def open(self, driver: Driver) -> None:
        """Begin to open one; the driver gets it, or learns that there is none."""
        ...


class Connection(asyncio.Protocol):
    """Sends whole requests and finds the ends of their answers: no streams, no tasks.

    Contract:
        Loop: every method runs on the event loop that opened it.
        Answer: each ``send`` is followed by one ``answered``, or by one ``lost`` with ``was_busy``.

    Attributes:
        began_at: When its request was sent or due, seconds of the clock.
        freed_at: When its last answer was complete, or it was opened.
        is_busy: Whether its request is without its answer.
    """

    __slots__ = ("_clock", "_driver", "_reader", "_transport", "began_at", "freed_at", "is_busy")

    def __init__(self, driver: Driver, clock: Clock = perf_counter) -> None:
        """Belong to ``driver`` for good."""
        self.began_at = 0.0
        self.freed_at = 0.0
        self.is_busy = False
        self._clock = clock
        self._driver = driver
        self._reader = AnswerReader()
        self._transport: asyncio.Transport | None = None

    @property
    def status(self) -> int:
        """Of the last answer."""
        return self._reader.status

    @property
    def keeps_alive(self) -> bool:
        """Whether the server goes on listening after the last answer."""
        return self._reader.keeps_alive

    @property
    def retry_after_s(self) -> float:
        """What the last answer, a refusal, says; NaN where it does not."""
        return self._reader.retry_after_s

    def send(self, request: bytes, began_at: float) -> None:
        """Send a request whose time counts from ``began_at``; the connection must be free."""
        assert self._transport is not None
        self.began_at = began_at
        self.is_busy = True
        self._transport.write(request)

    def close(self) -> None:
        """Close it, answered or not."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self.freed_at = self._clock()
        self._driver.opened(self)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        try:
            is_complete = self._reader.feed(data)
        except AnswerError:
            self.close()  # a busy connection ends as lost
            return
        if is_complete:
            self._complete()

    def eof_received(self) -> None:
        """Take the end of the server's side; the transport closes itself."""
        if self._reader.end():
            self._complete()

    def connection_lost(self, error: Exception | None) -> None:
        """Take the end."""
        was_busy, self.is_busy = self.is_busy, False
        self._driver.lost(self, was_busy=was_busy)

    def _complete(self) -> None:
        assert self._transport is not None
        if not self.is_busy:  # said without being asked, as some do before they close
            self.close()
            return
        self.is_busy = False
        self.freed_at = now = self._clock()
        if not self._reader.keeps_alive:
            self._transport.close()
        self._driver.answered(self, now - self.began_at)


class Dialer:
    """Opens connections to one address, each within ``CONNECT_TIMEOUT_S``."""

    def __init__(self, address: Address) -> None:
        """Remember where to."""
        self._address = address
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, driver: Driver) -> None:
        """Begin to open one; the driver gets it, or learns that there is none."""
        task = asyncio.get_running_loop().create_task(self._open(driver))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is being opened."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self, driver: Driver) -> None:
        address = self._address
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: Connection(driver),
                    address.host,
                    address.port,
                    ssl=address.tls,
                    # uvloop takes no name where there is no TLS.
                    server_hostname=address.host if address.tls else None,
                )
        except OSError:  # refused, no route, no name, TLS refused, or too long
            driver.not_opened()
