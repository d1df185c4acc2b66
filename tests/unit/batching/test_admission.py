"""When a new image would be answered, held against a queue that is really emptied."""

from __future__ import annotations

import random

import pytest

from app.batching.admission import Backlog, answered_in_s, executed_in_s, retry_in_s
from app.batching.execution_time import ExecutionTime
from app.batching.policy import BatchPolicy
from app.batching.task_queue import TaskQueue
from app.types import Priority
from tests.unit.batching.test_task import new_task
from tests.unit.batching.world import policy

T1, T2, T4, T8 = 1.1, 1.2, 1.4, 1.8


def taught() -> ExecutionTime:
    """An execution takes 1 s and 0.1 s for each image."""
    time = ExecutionTime()
    for size in (1, 2, 4, 8) * 4:
        time.observe(size, 1 + 0.1 * size)
    return time


@pytest.mark.parametrize(
    ("backlog", "count", "priority", "seconds"),
    [
        pytest.param(Backlog(), 1, "interactive", T1, id="nothing waits"),
        pytest.param(Backlog((3.0,)), 1, "interactive", 3 + T1, id="the device works"),
        pytest.param(Backlog(interactive=3), 1, "interactive", T4, id="the last place"),
        pytest.param(Backlog(interactive=4), 1, "interactive", T4 + T1, id="the next batch"),
        pytest.param(Backlog(interactive=2), 1, "interactive", T4, id="padded to what is allowed"),
        pytest.param(Backlog(), 6, "interactive", T4 + T2, id="several of one request"),
        pytest.param(Backlog(bulk=20), 1, "interactive", T4, id="bulk fills the batch up"),
        pytest.param(
            Backlog(interactive=3, bulk=20), 1, "interactive", 2 * T4, id="bulk has one place"
        ),
        pytest.param(
            Backlog(interactive=7, bulk=1), 1, "interactive", 2 * T4 + T1, id="as long as it waits"
        ),
        pytest.param(Backlog(interactive=9), 1, "bulk", T4, id="bulk has a place in the first"),
        pytest.param(
            Backlog(interactive=9, bulk=1), 1, "bulk", 2 * T4, id="the second one in the second"
        ),
        pytest.param(
            Backlog(interactive=4, bulk=8), 1, "bulk", 3 * T4 + T1, id="bulk behind everything"
        ),
        pytest.param(
            Backlog(company_until_s=5.0), 1, "interactive", 5 + T1, id="waits for company"
        ),
        pytest.param(
            Backlog(interactive=3, company_until_s=5.0), 1, "interactive", T4, id="full: does not"
        ),
        pytest.param(Backlog(delivery_s=0.5), 1, "interactive", T1 + 0.5, id="and is delivered"),
    ],
)
def test_answer_is_expected_after_what_goes_before(
    backlog: Backlog, count: int, priority: Priority, seconds: float
) -> None:
    time = taught()
    expected = answered_in_s(policy(4), time, backlog, count=count, priority=priority)
    assert expected == pytest.approx(seconds)


def test_batches_of_one_have_no_place_for_bulk() -> None:
    backlog = Backlog(interactive=3, bulk=2)
    time = taught()
    assert answered_in_s(policy(1), time, backlog) == pytest.approx(4 * T1)
    assert answered_in_s(policy(1), time, backlog, priority="bulk") == pytest.approx(6 * T1)


def test_batches_are_cut_as_the_policy_cuts_them() -> None:
    assert executed_in_s(policy(8), taught(), 13) == pytest.approx(T8 + T4 + T1)
    assert executed_in_s(policy(8), taught(), 15) == pytest.approx(T8 + T8)
    assert executed_in_s(policy(8), taught(), 0) == 0


async def emptied_s(
    batch_policy: BatchPolicy, time: ExecutionTime, backlog: Backlog, priority: Priority
) -> float:
    """Empty a real queue until the image that came last has been executed."""
    queue = TaskQueue()
    for _ in range(backlog.interactive):
        queue.push(new_task())
    for _ in range(backlog.bulk):
        queue.push(new_task(priority="bulk"))
    last = new_task(priority=priority)
    queue.push(last)
    ends_s, end_s = list(backlog.devices_free_in_s), 0.0
    while True:
        batch, _ = queue.take(batch_policy.size_to_take(len(queue)), 0.0)
        device = ends_s.index(min(ends_s))
        ends_s[device] += time.expected_s(batch_policy.padded_size(len(batch)))
        end_s = max(end_s, ends_s[device])
        if last in batch:
            return end_s


@pytest.mark.parametrize("seed", range(60))
async def test_expectation_is_what_the_queue_does(seed: int) -> None:
    rng = random.Random(seed)
    most = rng.choice([1, 2, 3, 8])
    batch_policy = BatchPolicy(most, tuple(range(1, most + 1)))  # nothing is padded or cut
    priority: Priority = rng.choice(["interactive", "bulk"])
    free_in_s = tuple(3 * rng.random() for _ in range(rng.choice([1, 1, 2, 4])))
    backlog = Backlog(free_in_s, rng.randrange(30), rng.randrange(30))
    time = taught()
    expected = answered_in_s(batch_policy, time, backlog, priority=priority)
    assert expected == pytest.approx(await emptied_s(batch_policy, time, backlog, priority))


@pytest.mark.parametrize(
    ("expected_s", "own_s", "within_s", "seconds"),
    [
        pytest.param(5.0, 1.0, 3.0, 2.0, id="what it is late by"),
        pytest.param(5.0, 4.0, 3.0, 1.0, id="until nothing else is left"),
        pytest.param(5.0, 5.0, 3.0, 0.0, id="nothing else is left"),
    ],
)
def test_retry_is_worth_it_once_the_backlog_has_become_short_enough(
    expected_s: float, own_s: float, within_s: float, seconds: float
) -> None:
    assert retry_in_s(expected_s, own_s, within_s) == pytest.approx(seconds)
