"""The application behind a real socket, in a thread of its own."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from app.api.connections import connection_options
from app.lifecycle import Lifecycle
from tests.api.world import PATIENCE_S, build
from tests.fakes import PuppetServable


@dataclass
class LiveServer:
    """A server in a thread of its own, with its puppets by version.

    ``begun`` has the paths of the requests that reached the application. ``admin_port`` is there
    where it was built with the setting.
    """

    port: int
    lifecycle: Lifecycle
    puppets: Mapping[str, PuppetServable]
    begun: list[str]
    admin_port: int | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)


class _TellingServer(uvicorn.Server):
    """Tells when it answers and every version is loaded."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self.is_ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await self._lifecycle.loaded()
        self.is_ready.set()


@contextmanager
def listening(store: Path, **settings: Any) -> Iterator[LiveServer]:
    """Serve a store, on a free port; takes what ``build`` takes, and ``on_port``."""
    port: int = settings.pop("on_port", 0)
    app, puppets = build(store, **settings)
    lifecycle: Lifecycle = app.state.lifecycle
    begun: list[str] = []

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope.get("path", ""))
        await app(scope, receive, send)

    listeners = [socket.create_server(("127.0.0.1", port))]
    if lifecycle.admin_port is not None:
        listeners.append(socket.create_server(("127.0.0.1", lifecycle.admin_port)))
        lifecycle.admin_port = listeners[-1].getsockname()[1]
    config = uvicorn.Config(noted, **connection_options(app.state))
    server = _TellingServer(config, lifecycle)
    thread = threading.Thread(target=server.run, args=(listeners,))
    thread.start()
    try:
        assert server.is_ready.wait(PATIENCE_S)
        number = listeners[0].getsockname()[1]
        yield LiveServer(number, lifecycle, puppets, begun, lifecycle.admin_port)
    finally:
        for puppet in puppets.values():
            puppet.let_go()
        server.should_exit = True
        thread.join(2 * PATIENCE_S)
        for listener in listeners:
            listener.close()
    assert not thread.is_alive()
