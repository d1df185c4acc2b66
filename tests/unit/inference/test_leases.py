from __future__ import annotations

import asyncio

import pytest

from app.inference.leases import Leases

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]


async def test_it_is_released_when_the_last_one_lets_go() -> None:
    leases = Leases()
    waiting = None
    with leases.hold():
        with leases.hold():
            assert leases.held == 2
            waiting = asyncio.create_task(leases.released())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting

    assert leases.held == 0
    await leases.released()


async def test_failing_holder_lets_go() -> None:
    leases = Leases()

    with pytest.raises(RuntimeError), leases.hold():
        raise RuntimeError

    await leases.released()
