"""Clients of a soak: each has a connection and one request at a time, and judges its answer."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.soak.mix import Kind

_PATIENCE_S = 60.0
_RETRY_S = 0.05
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_MOST_EXAMPLES = 20


@dataclass(slots=True)
class Tally:
    """What was sent and answered, by kind.

    Attributes:
        answers: Of each kind, by status.
        cancelled: Requests whose clients left.
        wrong: Answers that are not right.
        lost: Requests that nothing was answered to.
        examples: Of both, for whoever looks for the cause.
    """

    answers: dict[str, Counter[int]] = field(default_factory=dict)
    cancelled: int = 0
    wrong: int = 0
    lost: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Requests that have been dealt with."""
        return self.answered + self.cancelled + self.lost

    @property
    def answered(self) -> int:
        """Requests that were answered, rightly or not."""
        return sum(counter.total() for counter in self.answers.values())

    def answer(self, kind: Kind, status: int, text: bytes) -> None:
        """Count an answer."""
        self.answers.setdefault(kind.name, Counter())[status] += 1
        if status not in kind.right:
            self.wrong += 1
            self._example(f"{kind.name}: {status} {text[:300].decode(errors='replace')}")

    def lose(self, kind: Kind, error: BaseException) -> None:
        """Count a request without an answer."""
        self.lost += 1
        self._example(f"{kind.name}: {error!r}")

    def _example(self, text: str) -> None:
        if len(self.examples) < _MOST_EXAMPLES:
            self.examples.append(text)


class Crowd:
    """So many clients that share a number of requests."""

    def __init__(self, port: int, kinds: Sequence[Kind], tally: Tally, seed: int) -> None:
        """Prepare; ``send`` connects."""
        self._port = port
        self._kinds = kinds
        self._weights = [kind.weight for kind in kinds]
        self._tally = tally
        self._random = random.Random(seed)
        self._left = 0

    async def send(self, requests: int, clients: int) -> None:
        """Send so many requests, and return when all have been dealt with."""
        self._left = requests
        await asyncio.gather(*(self._client() for _ in range(clients)))
        await asyncio.sleep(0)  # what was closed in this turn is gone after the next one
        await asyncio.sleep(0)

    async def _client(self) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while self._left > 0:
            self._left -= 1
            (kind,) = self._random.choices(self._kinds, self._weights)
            connection = await self._deal_with(kind, connection)
        if connection is not None:
            connection[1].close()

    async def _deal_with(
        self, kind: Kind, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Send one request; return the connection where it can be used again."""
        message = self._random.choice(kind.messages)
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                is_new = connection is None
                reader, writer = connection or await asyncio.open_connection(
                    "127.0.0.1", self._port
                )
                writer.write(message)
                if kind.is_cancelled:
                    await writer.drain()
                    writer.transport.abort()
                    self._tally.cancelled += 1
                    return None
                try:
                    status, body, is_last = await _answer(reader)
                except (ConnectionError, asyncio.IncompleteReadError):
                    if is_new:
                        raise
                    # The server closed it meanwhile, as it may: nothing was answered, and nothing
                    # has happened. Only on a new connection would that be a loss.
                    writer.transport.abort()
                    return await self._deal_with(kind, None)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            self._tally.lose(kind, error)
            if writer is not None:
                writer.transport.abort()
            return None
        self._tally.answer(kind, status, body)
        if status == 429:
            await asyncio.sleep(_RETRY_S)
        if is_last or kind.ends_connection:
            writer.transport.abort()
            return None
        return reader, writer


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Read an answer: status, body, and whether it is the last one of its connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length is None:
        raise ValueError(f"an answer without a length: {head[:200]!r}")
    body = await reader.readexactly(int(length[1]))
    return int(head.split(b" ", 2)[1]), body, b"\r\nconnection: close" in head.lower()
