"""How often something that failed is started again before it is given up."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass

from app.types import Clock


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often something is restarted before the whole process is given up.

    Attributes:
        most: Restarts within ``window_s``; 0: none. Higher: more is tried before liveness fails.
            Lower: whatever restarts the process does so sooner.
        window_s: An hour: what fails more often is not mended by restarting.
        patience_s: A restart under way for longer counts as failed, and is waited for all the same:
            a load that hangs cannot be stopped.
        retry_s: Before a restart that follows a failed one, doubled each time; 30 at most.
    """

    most: int = 3
    window_s: float = 3600.0
    patience_s: float = 300.0
    retry_s: float = 1.0


class RestartBudget:
    """Counts the restarts of one thing."""

    def __init__(self, policy: RestartPolicy, clock: Clock = time.monotonic) -> None:
        """Start with all of it."""
        self._policy = policy
        self._clock = clock
        self._taken_at_s: deque[float] = deque()

    @property
    def retry_s(self) -> float:
        """How long to wait before trying again what has just failed."""
        return self._policy.retry_s

    def take(self) -> float:
        """Take one restart, if there is one.

        Returns:
            0 where it was taken, else after what time there will be one, s; infinite for never.
        """
        now_s = self._clock()
        while self._taken_at_s and now_s >= self._taken_at_s[0] + self._policy.window_s:
            self._taken_at_s.popleft()
        if len(self._taken_at_s) < self._policy.most:
            self._taken_at_s.append(now_s)
            return 0.0
        if not self._taken_at_s:
            return math.inf
        return self._taken_at_s[0] + self._policy.window_s - now_s
