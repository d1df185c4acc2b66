"""Drives the application message by message, as a server does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message

PATIENCE_S = 15.0  # only what hangs takes so long, also beside another test on a busy machine


class Call:
    """One request whose body, and whose client's leaving, the test decides.

    Attributes:
        sent: Messages of the application so far.
        task: The application's work on it.
    """

    def __init__(
        self,
        app: ASGIApp,
        path: str = "/v1/classify",
        *,
        method: str = "POST",
        query: str = "",
        headers: Mapping[str, str] | None = None,
        client: tuple[str, int] = ("client", 1),
        root_path: str = "",
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        fields = {"host": "test", "content-type": "image/png"} | dict(headers or {})
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": root_path,
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "client": client,
            "server": ("test", 80),
            "state": dict(state or {}),
        }
        self.task = asyncio.ensure_future(app(scope, self._incoming.get, self._send))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def feed(self, chunk: bytes, *, has_more: bool = False) -> None:
        """Let a piece of the body arrive."""
        self._incoming.put_nowait({"type": "http.request", "body": chunk, "more_body": has_more})

    def leave(self) -> None:
        """Let the client leave."""
        self._incoming.put_nowait({"type": "http.disconnect"})

    @property
    def unread(self) -> int:
        """Messages that the application has not taken."""
        return self._incoming.qsize()

    async def end(self) -> None:
        """Wait until the application is done with the request."""
        async with asyncio.timeout(PATIENCE_S):
            await self.task

    @property
    def is_answered(self) -> bool:
        """Whether a whole response was sent, and one only."""
        kinds = [message["type"] for message in self.sent]
        assert kinds.count("http.response.start") <= 1
        return bool(self.sent) and not self.sent[-1].get("more_body", False)

    @property
    def status(self) -> int:
        status = self.sent[0]["status"]
        assert isinstance(status, int)
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def document(self) -> dict[str, Any]:
        document = json.loads(b"".join(message["body"] for message in self.sent[1:]))
        assert isinstance(document, dict)
        return document
