from __future__ import annotations

import asyncio

import pytest

from app.inference.leases import Leases

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]


async def test_it_is_released_when_the_last_one_lets_go() -> None:
    leases = Leases()
    leases.take()
    leases.take()
    waiting = asyncio.create_task(leases.released())
    leases.give_back()
    await asyncio.sleep(0)
    assert leases.held == 1
    assert not waiting.done()
    leases.give_back()
    await waiting

    assert leases.held == 0
    await leases.released()
