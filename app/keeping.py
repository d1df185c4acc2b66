"""Looks at the store again and again: when it changes, and when somebody asks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from app.errors import BatcherStoppedError, ServableNotReadyError

logger = logging.getLogger(__name__)


class StoreKeeper:
    """Runs one look at the store after another, never two at once.

    Loop: every method runs on the event loop that called ``start``.
    Look: one that is asked for while another one is under way follows it; any number of wishes
        meanwhile become one look. What a look raises is logged, and whoever waits for it is told;
        the next one may go better.
    Watch: where watching breaks off, it begins anew after ``retry_s``, with a look.
    Bound: ``look`` waits for the look under way, if there is one, and for the one after it.
    Cancel: cancelling ``look`` leaves the look itself alone.
    Stop: ``stop`` cancels the look under way; whoever waits gets ``BatcherStoppedError``.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[None]],
        changes: Callable[[], AsyncIterator[None]],
        on_first_look: Callable[[], None],
        retry_s: float,
    ) -> None:
        """Take what to do; nothing runs before ``start``.

        Args:
            look: Brings what is served in line with the store.
            changes: Yields whenever the store may look different.
            on_first_look: Told when the first look has ended, before anybody who waits for it.
            retry_s: How long to wait before watching again, s.
        """
        self._look = look
        self._changes = changes
        self._on_first_look = on_first_look
        self._retry_s = retry_s
        self._is_due = asyncio.Event()
        self._begun = self._ended = 0
        self._last_failed = 0  # number of the last look that raised
        self._next_end = asyncio.Event()  # another one for each look
        self._is_stopped = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin with a look, then watch."""
        self._is_due.set()
        self._tasks = [
            asyncio.create_task(self._run(), name="look-at-store"),
            asyncio.create_task(self._watch(), name="watch-store"),
        ]

    async def look(self) -> None:
        """Ask for a look, and wait for its end.

        Raises:
            BatcherStoppedError: The service stops, and with it the looks.
            ServableNotReadyError: The look failed.
        """
        number = self._begun + 1
        self._is_due.set()
        await self.looked(number)
        if self._last_failed >= number:
            raise ServableNotReadyError("Looking at the store failed; the log has the cause.")

    async def looked(self, number: int = 1) -> None:
        """Wait until so many looks have ended since the start.

        Raises:
            BatcherStoppedError: There will be no more looks.
        """
        while self._ended < number:
            if self._is_stopped:
                raise BatcherStoppedError("The service is stopping.")
            await self._next_end.wait()

    def stop(self) -> None:
        """Look no more; a load in hand ends with its thread."""
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()
        self._wake()

    async def stopped(self, timeout_s: float) -> None:
        """Wait for the look in hand after ``stop``, but not for ever."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def _run(self) -> None:
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            self._begun += 1
            try:
                await self._look()
            except Exception:  # a fault of ours; what is served goes on being served
                logger.exception("looking at the store failed")
                self._last_failed = self._begun
            if self._begun == 1:
                self._on_first_look()
            self._ended = self._begun
            self._wake()

    async def _watch(self) -> None:
        await self.looked()
        while True:
            try:
                async for _ in self._changes():
                    self._is_due.set()
                return  # nobody wants it watched
            except Exception:  # no thread to be had, perhaps; what changes must not be missed
                logger.exception("watching the store broke off")
            await asyncio.sleep(self._retry_s)
            self._is_due.set()

    def _wake(self) -> None:
        self._next_end.set()
        self._next_end = asyncio.Event()
