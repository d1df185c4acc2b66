"""One client as an ``asyncio.Protocol``: no streams, no tasks, no parsing of bodies."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Iterator
from time import perf_counter
from typing import cast

from benchmarks.load.http import parse_head

LOST = "connection lost"
UNANSWERED = "no answer"


class Recorder:
    """What all clients of one measurement have seen.

    Attributes:
        latencies_s: One per answer 200 inside the window, request sent to body complete.
        outcomes: Answers inside the window by status, and lost connections.
    """

    def __init__(self) -> None:
        self.latencies_s = array("d")
        self.outcomes: Counter[str] = Counter()
        self.is_open = False

    def answered(self, status: int, latency_s: float) -> None:
        if not self.is_open:
            return
        self.outcomes[str(status)] += 1
        if status == 200:
            self.latencies_s.append(latency_s)

    def failed(self, outcome: str) -> None:
        # Counted outside the window too: a server that drops requests is never fine.
        self.outcomes[outcome] += 1


class Client(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered, until told to stop."""

    def __init__(self, requests: Iterator[bytes], recorder: Recorder) -> None:
        self._requests = requests
        self._recorder = recorder
        self._stopping = False
        self._received = b""
        self._expected = 0  # bytes of the response being read; 0: its head is not complete
        self._status = 0
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data if self._received else data
        if not self._expected:
            head = parse_head(received)
            if head is None:
                return
            self._status, self._expected = head.status, head.length
        if len(received) < self._expected:
            return
        latency_s = perf_counter() - self._sent_at
        self._received, self._expected = b"", 0
        self._recorder.answered(self._status, latency_s)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._recorder.failed(LOST)
            self.done.set_result(None)

    def stop(self) -> None:
        """Let the request under way be answered, and send no other."""
        self._stopping = True

    def give_up(self) -> None:
        """Close, answered or not; a request without its answer is counted."""
        if not self.done.done():
            self._recorder.failed(UNANSWERED)
            self.done.set_result(None)
        if self._transport is not None:
            self._transport.abort()

    def _send(self) -> None:
        assert self._transport is not None
        if self._stopping:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = perf_counter()
        self._transport.write(next(self._requests))
