"""The running application with limits of its callers, behind a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.access.allowance import LimitPolicy
from app.access.limits import AccessLimits
from tests.api.doorway import SETTINGS, Answer, Doorway, Line, doorway
from tests.api.world import World, serving
from tests.fakes import FakeClock

NONE = LimitPolicy()
TWO = LimitPolicy(rate_per_s=0.5, burst=2)
ONE_AT_A_TIME = LimitPolicy(max_concurrency=1)
TWO_AT_A_TIME = LimitPolicy(max_concurrency=2)


@dataclass
class Limited:
    """The running application with limits, behind a socket, and the clock of the limits."""

    world: World
    door: Doorway
    limits: AccessLimits
    clock: FakeClock

    @property
    def remembered(self) -> int:
        """Callers of whom anything is known; with a limit of concurrency alone, those under way."""
        tables = (self.limits.addresses, self.limits.keys)
        return sum(len(table) for table in tables if table is not None)


@asynccontextmanager
async def limited(
    folder: Path,
    addresses: LimitPolicy = NONE,
    keys: LimitPolicy = NONE,
    *,
    hold_s: float | None = None,
    **settings: Any,
) -> AsyncIterator[Limited]:
    store = folder / "store"
    store.mkdir()
    options: dict[str, Any] = {} if hold_s is None else {"hold_s": hold_s}
    async with serving(store, **(SETTINGS | settings)) as world:
        clock = FakeClock()
        world.lifecycle.limits = limits = AccessLimits(addresses, keys, clock)
        async with doorway(world, **options) as door:
            yield Limited(world, door, limits, clock)


async def ask(line: Line, content: bytes) -> Answer:
    line.send(content)
    return await line.answer()


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *headers, "", ""]).encode()


def assert_limited(answer: Answer, *detail: str) -> None:
    assert (answer.status, answer.document["code"]) == (429, "rate_limited"), answer.body
    assert int(answer.header("retry-after")) >= 1
    for part in detail:
        assert part in answer.document["detail"]
