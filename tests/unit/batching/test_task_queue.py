from __future__ import annotations

import math

import pytest

from app.batching.task import BatchTask
from app.batching.task_queue import TaskQueue
from app.types import Priority
from tests.unit.batching.test_task import new_task


def queue_of(*tasks: BatchTask) -> TaskQueue:
    queue = TaskQueue()
    for task in tasks:
        queue.push(task)
    return queue


def tasks(count: int, priority: Priority = "interactive") -> list[BatchTask]:
    return [new_task(priority=priority) for _ in range(count)]


async def test_tasks_of_one_class_leave_in_the_order_they_came() -> None:
    first = tasks(5)
    queue = queue_of(*first)
    assert queue.take(3, 0.0) == (first[:3], [])
    assert queue.take(3, 0.0) == (first[3:], [])
    assert len(queue) == 0


async def test_interactive_goes_before_bulk() -> None:
    bulk, interactive = tasks(3, "bulk"), tasks(2)
    queue = queue_of(*bulk, *interactive)
    assert (queue.interactive_size, queue.bulk_size, len(queue)) == (2, 3, 5)
    assert queue.take(4, 0.0)[0] == [*interactive, *bulk[:2]]


async def test_bulk_keeps_one_place_where_interactive_alone_fills_the_batch() -> None:
    bulk, interactive = tasks(2, "bulk"), tasks(9)
    queue = queue_of(*bulk, *interactive)
    assert queue.take(4, 0.0)[0] == [*interactive[:3], bulk[0]]
    assert queue.take(4, 0.0)[0] == [*interactive[3:6], bulk[1]]
    assert queue.take(4, 0.0)[0] == interactive[6:]


async def test_a_place_that_expired_bulk_does_not_need_goes_back_to_interactive() -> None:
    bulk, interactive = new_task(priority="bulk", deadline_s=1.0), tasks(4)
    assert queue_of(bulk, *interactive).take(4, 2.0) == (interactive, [bulk])


async def test_a_batch_of_one_is_interactive() -> None:
    bulk, interactive = tasks(1, "bulk"), tasks(1)
    assert queue_of(*bulk, *interactive).take(1, 0.0)[0] == interactive


async def test_an_expired_task_takes_no_place() -> None:
    late, good = new_task(deadline_s=1.0), tasks(2)
    assert queue_of(late, *good).take(2, 1.0) == (good, [late])


async def test_a_task_cancelled_a_moment_ago_takes_no_place() -> None:
    cancelled, good = new_task(), tasks(2)
    queue = queue_of(cancelled, *good)
    cancelled.cancel()
    assert queue.take(2, 0.0) == (good, [])


@pytest.mark.parametrize("priority", ["interactive", "bulk"])
async def test_a_task_can_be_taken_out_of_the_middle_once(priority: Priority) -> None:
    first, middle, last = tasks(3, priority)
    queue = queue_of(first, middle, last)
    assert queue.discard(middle)
    assert not queue.discard(middle)
    assert queue.take(9, 0.0)[0] == [first, last]


async def test_the_oldest_is_the_oldest_of_both_classes() -> None:
    queue = TaskQueue()
    assert queue.oldest_enqueued_at_s == math.inf
    queue.push(new_task(enqueued_at_s=2.0, priority="bulk"))
    assert queue.oldest_enqueued_at_s == 2.0
    queue.push(new_task(enqueued_at_s=3.0))
    assert queue.oldest_enqueued_at_s == 2.0
    queue.take(1, 0.0)
    assert queue.oldest_enqueued_at_s == 2.0
    queue.take(1, 0.0)
    queue.push(new_task(enqueued_at_s=4.0))
    assert queue.oldest_enqueued_at_s == 4.0


async def test_clear_returns_everybody() -> None:
    interactive, bulk = tasks(2), tasks(2, "bulk")
    queue = queue_of(*bulk, *interactive)
    assert queue.clear() == [*interactive, *bulk]
    assert len(queue) == 0
