"""The server's side of connections over real sockets, on the event loop of the test.

What the in-process client leaves out: the protocol, and the ways that it has for requests.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.api.connections import connection_options
from app.api.protocol import gated
from app.patience import PatiencePolicy
from tests.api.world import PATIENCE_S, World, until

ROUTE = "/v1/classify"
LONG_S = 3600.0
"""Nothing in a test takes as long: what would end by it ends by something else."""

PATIENCE = PatiencePolicy(LONG_S, LONG_S, LONG_S)

ELSEWHERE = "Origin: https://a.org"
"""Sends a request the way of every request; nothing else is made of it where CORS is not set."""
BY_CONNECTION = {
    "date", "content-security-policy", "referrer-policy", "x-content-type-options",
    "x-frame-options",
}  # fmt: skip
"""Headers that the server adds to what the application answers."""
SETTINGS: dict[str, Any] = {"max_batch_size": 1, "max_queue_size": 2, "max_images_per_request": 1}


@dataclass
class Answer:
    """One response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.headers]

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    def header(self, name: str) -> str:
        return dict(self.headers)[name]


class FarEnd:
    """The server's side of a connection, with what it has received, in bytes."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.received = 0

    def __getattr__(self, name: str) -> Any:
        """All but what is counted is the protocol's own."""
        return getattr(self.protocol, name)

    def data_received(self, data: bytes) -> None:
        self.protocol.data_received(data)
        self.received += len(data)


class Line:
    """A client's connection.

    Attributes:
        far_end: The server's side of it.
        sent: Bytes.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far_end: FarEnd
    ) -> None:
        self.far_end = far_end
        self.sent = 0
        self._reader = reader
        self._writer = writer

    def send(self, content: bytes) -> None:
        self.sent += len(content)
        self._writer.write(content)

    async def seen(self) -> None:
        """Wait until the server has seen all that was sent."""
        await until(lambda: self.far_end.received == self.sent)

    async def send_and_seen(self, content: bytes) -> None:
        self.send(content)
        await self.seen()

    async def answer(self) -> Answer:
        """Read one response."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = [
                (name, value) for name, value in (line.split(": ", 1) for line in head[1:-2])
            ]
            body = await self._reader.readexactly(int(dict(headers)["content-length"]))
        return Answer(int(head[0].split()[1]), headers, body)

    async def next_line(self) -> bytes:
        return await self._reader.readline()

    def stop_reading(self) -> None:
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def go_on_reading(self) -> None:
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def is_over(self) -> bool:
        """Wait for the next byte; whether none comes."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.read(1) == b""
            except ConnectionResetError:
                return True

    def finish_sending(self) -> None:
        """Close the direction to the server, and go on reading."""
        self._writer.write_eof()

    def leave(self) -> None:
        """Close the connection, whatever is under way."""
        self._writer.transport.abort()


@dataclass
class Doorway:
    """Where connections come in.

    Attributes:
        state: What uvicorn knows of its connections and of what is under way.
        begun: The paths of the requests that reached the application: not those on the short ways.
        far_ends: The server's side of each connection, in the order in which they came.
    """

    world: World
    port: int
    server: uvicorn.Server
    begun: list[str]
    far_ends: list[FarEnd]
    lines: list[Line] = field(default_factory=list)

    @property
    def state(self) -> ServerState:
        return self.server.server_state

    async def connect(self, *, receives_bytes: int | None = None) -> Line:
        """Open a connection; ``receives_bytes``: what the client's system takes unread."""
        before = len(self.far_ends)
        connection = socket.socket()
        if receives_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives_bytes)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        streams = await asyncio.open_connection(sock=connection)
        await until(lambda: len(self.far_ends) > before)
        line = Line(*streams, self.far_ends[before])
        self.lines.append(line)
        return line

    async def send_queued(self, line: Line, content: bytes) -> None:
        """Send one request, and wait until its image was decoded and queued."""
        decoded = self.world.decoded
        line.send(content)
        await until(lambda: self.world.decoded > decoded)

    def stop(self) -> None:
        """Ask all connections to end, as the stopping server does."""
        for connection in list(self.state.connections):
            connection.shutdown()

    async def is_left(self) -> None:
        """Wait until no connection is open, and nothing under way."""
        await until(lambda: not self.state.connections and not self.state.tasks)


@asynccontextmanager
async def doorway(
    world: World, *, hold_s: float = LONG_S, patience: PatiencePolicy = PATIENCE, **config: Any
) -> AsyncIterator[Doorway]:
    """Let connections in to a running application.

    Args:
        world: The application.
        hold_s: How long bodies are waited for on the express lane.
        patience: How long clients may take.
        **config: Of uvicorn.
    """
    begun: list[str] = []
    far_ends: list[FarEnd] = []

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope.get("path", ""))
        await world.app(scope, receive, send)

    way_in = gated(world.app.state.gate, world.app.state.lane, hold_s, patience)
    options = connection_options(world.app.state) | {"http": way_in, "lifespan": "off"} | config
    settings = uvicorn.Config(noted, **options)
    settings.load()
    server = uvicorn.Server(settings)
    server.lifespan = settings.lifespan_class(settings)
    await server.on_tick(0)  # the header Date

    def connection() -> Any:
        made: Any = way_in
        protocol = made(config=settings, server_state=server.server_state, app_state={})
        far_ends.append(FarEnd(protocol))
        return far_ends[-1]

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(connection, "127.0.0.1", 0, family=socket.AF_INET)
    server.servers = [listener]
    port = listener.sockets[0].getsockname()[1]
    found = Doorway(world, port, server, begun, far_ends)
    try:
        yield found
    finally:
        for puppet in world.puppets.values():
            puppet.let_go()
        for line in found.lines:
            line.leave()
        await found.is_left()
        listener.close()


def message(
    body: bytes,
    *headers: str,
    query: str = "",
    version: str = "HTTP/1.1",
    content_type: str | None = "image/png",
) -> bytes:
    """Write a request to classify; its id is ``mine``."""
    target = f"{ROUTE}?{query}" if query else ROUTE
    lines = [f"POST {target} {version}", "Host: test", "X-Request-Id: mine", *headers]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    if not any(line.startswith("Transfer-Encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def leases(world: World) -> int:
    return world.lifecycle.director.choose(None, None, None, key="").live.leases.held


def outcomes(world: World) -> dict[str, float]:
    """``images_total`` by outcome, without the zeros."""
    found = world.lifecycle.metrics.registry.collect()
    samples = [sample for family in found for sample in family.samples]
    return {
        sample.labels["outcome"]: sample.value
        for sample in samples
        if sample.name == "keraserve_images_total" and sample.value
    }


def codes(world: World) -> dict[str, float]:
    """``requests_total`` by code."""
    found = world.lifecycle.metrics.registry.collect()
    samples = [sample for family in found for sample in family.samples]
    return {
        sample.labels["code"]: sample.value
        for sample in samples
        if sample.name == "keraserve_requests_total" and sample.labels["route"] == ROUTE
    }


def assert_over(world: World) -> None:
    """Assert that nothing is under way, and no version is kept."""
    assert world.count("in_flight_requests") == 0
    assert leases(world) == 0
    assert world.batcher.is_idle
