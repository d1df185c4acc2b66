"""One log line a second for refusals, however many there are."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeAlias

from app.api.record import RequestRecord
from app.batching.timer import CallLater, TimerHandle
from app.logging import log_event

logger = logging.getLogger("app.request")

REFUSED_CODE = "queue_full"
LIMITED_CODE = "rate_limited"
REFUSAL_CODES = frozenset({REFUSED_CODE, LIMITED_CODE})
"""The codes of the problems that are counted instead of logged one by one."""

PERIOD_S = 1.0
"""Seconds that one line is about."""


Alike: TypeAlias = tuple[str, str, str]
"""Route, code, and version or key: what the refusals of one line have in common."""


class RefusalLog:
    """Counts the refusals that follow another one within a second, and logs their number.

    Under overload most requests are refused, and a line of each takes a third of the time of
    refusing it: time that those need who were accepted. The first one gets a line of its own like
    any request; if more follow within a second, one line at its end says how many, for each route
    and version, or key; and so on until a second without any. The metrics count all of them.

    Loop: used on one event loop; there is one timer, while there are refusals.
    """

    def __init__(self, call_later: CallLater | None = None) -> None:
        """Start without any; ``call_later`` is the running event loop's by default."""
        self._call_later = call_later
        self._counts: dict[Alike, int] = {}
        self._timer: TimerHandle | None = None

    def takes(self, record: RequestRecord, route: str) -> bool:
        """Count a request, if it was refused shortly after another one.

        Returns:
            Whether it was counted; it needs no line of its own then.
        """
        alike = alike_of(record, route)
        return alike is not None and self.takes_alike(alike)

    def takes_alike(self, alike: Alike) -> bool:
        """Do what ``takes`` does for a request of which ``alike_of`` is known."""
        if self._timer is None:
            self._begin_period()
            return False
        self._counts[alike] = self._counts.get(alike, 0) + 1
        return True

    def flush(self) -> None:
        """Log what was counted, and count no more until the next refusal."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counts, self._counts = self._counts, {}
        for (route, code, whose), count in counts.items():
            fields = {
                "route": route,
                "error": code,
                "by" if code == LIMITED_CODE else "servable": whose,
                "requests": count,
            }
            log_event(logger, logging.INFO, "requests refused", fields)

    def _begin_period(self) -> None:
        call_later = self._call_later or asyncio.get_running_loop().call_later
        self._timer = call_later(PERIOD_S, self._end_period)

    def _end_period(self) -> None:
        self._timer = None
        has_more = bool(self._counts)
        self.flush()
        if has_more:
            self._begin_period()


def alike_of(record: RequestRecord, route: str) -> Alike | None:
    """Return which line a request is counted in; None where it was not refused."""
    code = record.error_code
    if code not in REFUSAL_CODES:
        return None
    if code == LIMITED_CODE:
        return route, code, record.by or "an address"  # addresses are no closed set, and people's
    return route, code, str(record.servable)
