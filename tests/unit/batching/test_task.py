from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.batching.task import BatchTask, TaskResult
from app.errors import ExecutionError
from app.types import Priority

RESULT = TaskResult(np.full(2, 0.5, np.float32), 0.1, 0.2, 3)


def new_task(
    forgotten: list[BatchTask] | None = None,
    *,
    enqueued_at_s: float = 0.0,
    deadline_s: float | None = None,
    priority: Priority = "interactive",
) -> BatchTask:
    return BatchTask(
        np.zeros((4, 4, 3), np.uint8),
        asyncio.get_running_loop().create_future(),
        enqueued_at_s=enqueued_at_s,
        deadline_s=deadline_s,
        priority=priority,
        forget=(forgotten if forgotten is not None else []).append,
    )


async def test_only_the_first_answer_counts() -> None:
    task = new_task()
    assert task.answer(RESULT)
    assert not task.answer(ExecutionError("late"))
    assert await task is RESULT


async def test_an_error_is_raised_to_the_caller() -> None:
    task = new_task()
    assert task.answer(ExecutionError("no"))
    with pytest.raises(ExecutionError, match="no"):
        await task.result()


async def test_an_error_that_nobody_awaits_is_not_reported_by_the_event_loop() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    task = new_task()
    task.answer(ExecutionError("unseen"))
    del task
    assert reported == []


async def test_a_cancelled_task_takes_no_answer_and_is_forgotten() -> None:
    forgotten: list[BatchTask] = []
    task = new_task(forgotten)
    task.cancel()
    assert task.is_done
    assert forgotten == [task]
    assert not task.answer(RESULT)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_the_caller_cancels_the_task() -> None:
    forgotten: list[BatchTask] = []
    task = new_task(forgotten)
    caller = asyncio.ensure_future(task.result())
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert task.is_done
    assert forgotten == [task]


@pytest.mark.parametrize(
    ("deadline_s", "has_expired"),
    [
        pytest.param(None, False, id="no deadline never expires"),
        pytest.param(10.1, False, id="before the deadline"),
        pytest.param(10.0, True, id="at the deadline"),
        pytest.param(9.0, True, id="after the deadline"),
    ],
)
async def test_a_deadline_expires(deadline_s: float | None, has_expired: bool) -> None:
    assert new_task(deadline_s=deadline_s).has_expired(10.0) == has_expired


@pytest.mark.parametrize("outcome", [RESULT, ExecutionError("no")], ids=["scores", "an error"])
async def test_who_asked_is_told_the_outcome(outcome: TaskResult | Exception) -> None:
    task = new_task()
    told = asyncio.get_running_loop().create_future()
    task.when_done(told.set_result)
    task.answer(outcome)
    assert await told is outcome


async def test_who_asked_is_told_of_a_cancellation_as_of_no_outcome() -> None:
    task = new_task()
    told = asyncio.get_running_loop().create_future()
    task.when_done(told.set_result)
    task.cancel()
    assert await told is None


@pytest.mark.parametrize("outcome", [RESULT, ExecutionError("no")], ids=["scores", "an error"])
async def test_follower_is_told_at_once_and_once(outcome: TaskResult | Exception) -> None:
    task = new_task()
    told: list[TaskResult | Exception] = []
    task.follow(told.append)
    assert task.answer(outcome)
    assert told == [outcome]
    assert not task.answer(RESULT)
    assert told == [outcome]


async def test_follower_is_not_told_of_a_cancellation() -> None:
    task = new_task()
    told: list[TaskResult | Exception] = []
    task.follow(told.append)
    task.cancel()
    task.answer(RESULT)
    await asyncio.sleep(0)
    assert told == []


async def test_what_a_follower_raises_is_reported_and_not_raised() -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    error = RuntimeError("of the follower")

    def raise_it(outcome: TaskResult | Exception) -> None:
        raise error

    task = new_task()
    task.follow(raise_it)
    assert task.answer(RESULT)
    assert [context["exception"] for context in reported] == [error]
