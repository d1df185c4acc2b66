from __future__ import annotations

import asyncio

import pytest

from app.inference.deadline import Deadline

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]


def now_s() -> float:
    return asyncio.get_running_loop().time()


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_work_in_time_is_left_alone() -> None:
    with Deadline(now_s() + 60):
        await asyncio.sleep(0)
    assert cancelling() == 0


async def test_work_that_hangs_ends_at_the_deadline() -> None:
    work = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError), Deadline(now_s() + 0.001):
        await work
    assert work.cancelled()
    assert cancelling() == 0


async def test_deadline_of_the_past_ends_what_waits_and_nothing_else() -> None:
    with Deadline(now_s() - 1):
        done = "without waiting"
    assert done
    with pytest.raises(TimeoutError), Deadline(now_s() - 1):
        await asyncio.get_running_loop().create_future()


async def test_nothing_is_cancelled_after_the_block() -> None:
    passed = asyncio.Event()
    with Deadline(now_s()):
        pass
    asyncio.get_running_loop().call_later(0.001, passed.set)
    await passed.wait()
    assert cancelling() == 0


async def test_own_error_of_the_work_is_kept() -> None:
    with pytest.raises(KeyError), Deadline(now_s() + 60):
        raise KeyError


async def test_inner_deadline_is_told_from_the_outer_one() -> None:
    forever = asyncio.get_running_loop().create_future
    with Deadline(now_s() + 60):
        with pytest.raises(TimeoutError), Deadline(now_s()):
            await forever()
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), Deadline(now_s()), Deadline(now_s() + 60):
        await forever()
    assert cancelling() == 0


async def test_cancellation_from_elsewhere_stays_one() -> None:
    began = asyncio.Event()

    async def work() -> None:
        with Deadline(now_s() + 60):
            began.set()
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(work())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
