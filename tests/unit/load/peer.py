"""A server that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from app.load.connection import Address

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


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
