"""Connections that only the test moves."""

from __future__ import annotations

import asyncio
from time import perf_counter

from app.load.connection import Connection, Driver
from app.types import Clock


class RecordingTransport(asyncio.Transport):
    """Keeps what is written; like a real one, tells of its end in a later turn of the loop."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.is_closed = False
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def break_down(self) -> None:
        """End as when the other side resets the connection."""
        self.is_closed = True
        self._connection.connection_lost(ConnectionResetError())


class PuppetDialer:
    """Opens connections, or none, when told to.

    Attributes:
        asked: Connections that were asked for and are neither opened nor refused yet.
        opened: Connections with their transports, in the order of opening.
    """

    def __init__(self, clock: Clock = perf_counter) -> None:
        self._clock = clock
        self.asked: list[Driver] = []
        self.opened: list[tuple[Connection, RecordingTransport]] = []

    def open(self, driver: Driver) -> None:
        self.asked.append(driver)

    def let_in(self) -> tuple[Connection, RecordingTransport]:
        """Open the connection that was asked for first."""
        connection = Connection(self.asked.pop(0), self._clock)
        transport = RecordingTransport(connection)
        self.opened.append((connection, transport))
        connection.connection_made(transport)
        return connection, transport

    def refuse(self) -> None:
        """Open no connection for the one that asked first."""
        self.asked.pop(0).not_opened()


async def settle() -> None:
    """Let what transports tell later arrive."""
    for _ in range(3):
        await asyncio.sleep(0)
