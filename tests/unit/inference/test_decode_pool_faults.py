"""Threads that decode, and die or hang."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from anyio.lowlevel import checkpoint

from app.errors import ServableNotReadyError
from app.inference.decode_pool import DecodePool
from app.restarts import RestartPolicy

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(10)]

SOON_S = 0.05


def die() -> None:
    raise SystemExit(3)


def die_after(gate: threading.Event) -> None:
    gate.wait()
    die()


@contextmanager
def pool_of(threads: int, restarts: int, **more: float) -> Iterator[DecodePool]:
    policy = RestartPolicy(most=restarts, **more)
    pool = DecodePool(threads, max_pending=99, stall_after_s=SOON_S, restarts=policy)
    yield pool
    pool.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await checkpoint()


@pytest.mark.parametrize("threads", [1, 2])
async def test_thread_that_dies_fails_its_own_upload_and_others_go_on(threads: int) -> None:
    with pool_of(threads, restarts=1) as pool:
        gate = threading.Event()
        held = asyncio.create_task(pool.run(partial(die_after, gate)))
        others = [asyncio.create_task(pool.run(lambda: "pixels")) for _ in range(5)]
        await checkpoint()
        gate.set()
        with pytest.raises(ServableNotReadyError, match="its thread ended") as caught:
            await held
        assert isinstance(caught.value.__cause__, SystemExit)
        assert [(await other)[0] for other in others] == ["pixels"] * 5
        assert pool.failure is None


async def test_once_the_budget_is_spent_everybody_is_told_at_once() -> None:
    with pool_of(1, restarts=1) as pool:
        for _ in range(2):
            with pytest.raises(ServableNotReadyError):
                await pool.run(die)
        assert pool.failure == "decoding: no thread is left, and none is started any more"
        assert pool.is_given_up
        with pytest.raises(ServableNotReadyError, match="Images are not decoded"):
            await pool.run(lambda: "pixels")


async def test_what_waited_for_the_last_thread_is_told_too() -> None:
    with pool_of(1, restarts=0) as pool:
        gate = threading.Event()
        first = asyncio.create_task(pool.run(partial(die_after, gate)))
        waiting = asyncio.create_task(pool.run(lambda: "pixels"))
        await checkpoint()
        gate.set()
        for task in (first, waiting):
            with pytest.raises(ServableNotReadyError):
                await task


async def test_with_a_thread_left_it_goes_on_without_a_budget() -> None:
    with pool_of(2, restarts=0) as pool:
        with pytest.raises(ServableNotReadyError):
            await pool.run(die)
        assert (await pool.run(lambda: "pixels"))[0] == "pixels"
        assert not pool.is_given_up


async def test_it_tries_again_once_the_budget_allows_it() -> None:
    with pool_of(1, restarts=1, window_s=SOON_S) as pool:
        for _ in range(2):
            with pytest.raises(ServableNotReadyError):
                await pool.run(die)
        await until(lambda: not pool.is_given_up)
        assert (await pool.run(lambda: "pixels"))[0] == "pixels"


async def test_upload_that_hangs_is_told_and_what_waits_behind_it_is_decoded() -> None:
    with pool_of(1, restarts=1) as pool:
        gate = threading.Event()
        hanging = asyncio.create_task(pool.run(gate.wait))
        waiting = asyncio.create_task(pool.run(lambda: "pixels"))
        with pytest.raises(ServableNotReadyError, match="KERASERVE_STALL_AFTER_S"):
            await hanging
        assert (await waiting)[0] == "pixels"
        gate.set()


async def test_upload_that_hangs_is_noticed_though_its_caller_has_left() -> None:
    with pool_of(1, restarts=1) as pool:
        gate = threading.Event()
        leaving = asyncio.create_task(pool.run(gate.wait))
        await checkpoint()
        leaving.cancel()
        await asyncio.wait([leaving])
        assert (await pool.run(lambda: "pixels"))[0] == "pixels"
        gate.set()


async def test_hanging_without_a_budget_is_given_up() -> None:
    with pool_of(1, restarts=0) as pool:
        gate = threading.Event()
        tasks = [asyncio.create_task(pool.run(gate.wait)) for _ in range(2)]
        for task in tasks:
            with pytest.raises(ServableNotReadyError):
                await task
        assert pool.is_given_up
        gate.set()
