"""Restarts the engine of a version that died, hangs or fails, as often as that is of use."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable

from app.restarts import RestartBudget, RestartPolicy
from app.types import Clock, ServableId

logger = logging.getLogger(__name__)


_LONGEST_RETRY_S = 30.0


class EngineSupervisor:
    """Has versions loaded once more whose batcher is told to have failed.

    Loop: every method runs on one event loop.
    Restart: beside the engine that failed, which goes on with what it still can until the new one
        takes over. One at a time for each version; failures told meanwhile change nothing.
    Budget: of each version by itself (``RestartBudget``), with success or without. Once it is spent
        the version ``is_given_up`` until one succeeds again.
    Stop: ``stop`` ends what is under way; nothing is restarted afterwards.
    """

    def __init__(
        self,
        renew: Callable[[ServableId], Awaitable[bool]],
        policy: RestartPolicy,
        on_restart: Callable[[ServableId], None],
        clock: Clock = time.monotonic,
    ) -> None:
        """Take what to do; nothing runs before something ``failed``.

        Args:
            renew: Loads a version once more and lets it take over; False where it does not serve
                any more. Its exceptions are logged here.
            policy: How often.
            on_restart: Told before each restart.
            clock: Monotonic seconds.
        """
        self._renew = renew
        self._policy = policy
        self._on_restart = on_restart
        self._clock = clock
        self._budgets: dict[ServableId, RestartBudget] = {}
        self._tasks: dict[ServableId, asyncio.Task[None]] = {}
        self._given_up: set[ServableId] = set()
        self._is_stopped = False

    def failed(self, servable_id: ServableId, reason: str) -> None:
        """Have a version restarted, unless it is already; must be called on the event loop."""
        if self._is_stopped or servable_id in self._tasks:
            return
        name = f"restart {servable_id}"
        task = asyncio.create_task(self._restart(servable_id, reason), name=name)
        self._tasks[servable_id] = task

    def is_given_up(self, servable_id: ServableId) -> bool:
        """Whether restarting the version has not helped, and is not going to for now."""
        return servable_id in self._given_up

    def stop(self) -> None:
        """Restart nothing any more."""
        self._is_stopped = True
        for task in self._tasks.values():
            task.cancel()

    async def _restart(self, servable_id: ServableId, reason: str) -> None:
        failures = 0
        try:
            while not await self._try(servable_id, reason):
                delay_s = min(_LONGEST_RETRY_S, self._policy.retry_s * 2**failures)
                failures += 1
                await asyncio.sleep(delay_s)
            self._given_up.discard(servable_id)
        finally:
            self._tasks.pop(servable_id, None)

    async def _try(self, servable_id: ServableId, reason: str) -> bool:
        """Restart once, as soon as the budget allows; return whether nothing is left to do."""
        fields = {"servable": str(servable_id), "reason": reason}
        await self._wait_for_budget(servable_id, fields)
        logger.warning("restarting engine", extra=fields)
        self._on_restart(servable_id)
        renewing = asyncio.ensure_future(self._renew(servable_id))
        try:
            await asyncio.wait([renewing], timeout=self._policy.patience_s)
            if not renewing.done():
                logger.error("restart of engine hangs", extra=fields)
                self._given_up.add(servable_id)
                await asyncio.wait([renewing])
        except asyncio.CancelledError:
            renewing.cancel()
            raise
        error = renewing.exception()  # engines raise what they like
        if error is not None:
            logger.error("restart of engine failed", extra=fields, exc_info=error)
            return False
        told = "engine restarted" if renewing.result() else "nothing to restart"
        logger.info(told, extra=fields)
        return True

    async def _wait_for_budget(self, servable_id: ServableId, fields: dict[str, str]) -> None:
        budget = self._budgets.setdefault(servable_id, RestartBudget(self._policy, self._clock))
        while wait_s := budget.take():
            logger.error("engine is not restarted any more", extra=fields)
            self._given_up.add(servable_id)
            if math.isinf(wait_s):
                await asyncio.Event().wait()  # until it is stopped
            await asyncio.sleep(wait_s)
