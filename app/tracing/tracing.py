"""Tracing as a part of the service: opened when it is built, closed when it has stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from app.errors import TracingError
from app.tracing.policy import TracingPolicy
from app.tracing.sampler import RequestSampler

if TYPE_CHECKING:
    from app.tracing.spans import SpanWriter

logger = logging.getLogger(__name__)


class Tracing:
    """Decides what is traced, and sends it.

    Attributes:
        sampler: Asked of every request.
    """

    def __init__(self, policy: TracingPolicy, writer: SpanWriter) -> None:
        """Trace as ``policy`` says; ``writer`` sends it."""
        self.sampler = RequestSampler(policy, writer.begin)
        self._endpoint = policy.endpoint
        self._writer = writer

    async def close(self, *, timeout_s: float) -> None:
        """Send what is left; what has not gone after ``timeout_s`` is lost, and the log says so."""
        loop, is_sent = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._writer.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits
                loop.call_soon_threadsafe(is_sent.set)

        # A daemon: a collector that hangs must not keep the process.
        threading.Thread(target=shut_down, name="close-tracing", daemon=True).start()
        try:
            async with asyncio.timeout(timeout_s):
                await is_sent.wait()
        except TimeoutError:
            fields = {"endpoint": self._endpoint, "waited_s": timeout_s}
            logger.warning("the last traces could not be sent", extra=fields)


def open_tracing(policy: TracingPolicy) -> Tracing:
    """Start tracing.

    Raises:
        TracingError: OpenTelemetry is not installed.
    """
    try:
        # Here: it takes a quarter of a second and 20 MB, which only who traces should pay.
        from app.tracing.spans import SpanWriter
    except ModuleNotFoundError as error:
        raise TracingError(f"{error.name} is not installed: install keraserve[tracing]") from error
    return Tracing(policy, SpanWriter(policy))
