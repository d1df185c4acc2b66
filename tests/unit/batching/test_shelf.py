"""What lies ready, who takes it, and what becomes of it when a lane dies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from app.batching.lane import DeviceLane, free_in_s, give_up, give_up_all
from app.batching.policy import BatchPolicy
from app.batching.runner import BatchOutcome
from app.batching.shelf import Shelf, Work
from app.batching.task import BatchTask
from tests.fakes import FakeClock, PuppetServable

POLICY = BatchPolicy()
OUTCOME = BatchOutcome(1.0, POLICY, finished_at_s=2.0)


def new_batch(size: int = 1) -> list[BatchTask]:
    loop = asyncio.get_running_loop()
    return [
        BatchTask(
            np.zeros((4, 4, 3), np.uint8),
            loop.create_future(),
            enqueued_at_s=0.0,
            forget=lambda task: None,
        )
        for _ in range(size)
    ]


def lanes(count: int = 2) -> list[DeviceLane]:
    """Lanes that share a shelf, whose threads do not run."""
    shelf = Shelf(count)
    return [
        DeviceLane(
            PuppetServable(), POLICY, FakeClock(), lambda *_: None, name=f"{number}", shelf=shelf
        )
        for number in range(count)
    ]


def as_it_is(batch: Sequence[BatchTask]) -> Work:
    return batch


async def test_who_waits_is_found_whatever_preparing_raises() -> None:
    shelf = Shelf(2)
    batch = new_batch(2)

    def fail(batch: Sequence[BatchTask]) -> Work:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.put(batch, fail)
    assert shelf.take() is None
    assert shelf.clear() == batch


async def test_oldest_goes_first_and_to_one_only() -> None:
    shelf = Shelf(2)
    first, second = new_batch(), new_batch()
    shelf.put(first, as_it_is)
    assert shelf.has_room
    shelf.put(second, as_it_is)
    assert not shelf.has_room
    assert shelf.take() is first
    assert not shelf.has_room, "not known to be taken"
    shelf.note_taken(first)
    assert shelf.has_room
    assert shelf.take() is second
    assert shelf.take() is None


async def test_takings_may_become_known_in_another_order() -> None:
    shelf = Shelf(2)
    first, second = new_batch(), new_batch()
    for batch in (first, second):
        shelf.put(batch, as_it_is)
    shelf.note_taken(second)
    assert list(shelf.batches) == [first]


async def test_cleared_shelf_gives_nothing() -> None:
    shelf = Shelf(2)
    batch = new_batch(3)
    shelf.put(batch, as_it_is)
    assert shelf.clear() == batch
    assert shelf.take() is None
    assert shelf.has_room


async def test_lane_that_looked_too_early_is_handed_what_lies_ready() -> None:
    lane, other = lanes()
    first, second = new_batch(), new_batch()
    lane.submit(first, 0.0)
    lane.submit(second, 0.5)
    assert lane.take_back(OUTCOME, None) is first
    assert lane.current is second
    assert not lane.shelf.batches
    assert other.current is None


async def test_what_a_thread_has_taken_is_what_it_does() -> None:
    lane, other = lanes()
    batches = [new_batch() for _ in range(4)]
    lane.submit(batches[0], 0.0)
    other.submit(batches[1], 0.0)
    lane.submit(batches[2], 0.0)
    lane.submit(batches[3], 0.0)
    assert lane.shelf.take() is batches[2]  # by the other one's thread
    assert lane.shelf.take() is batches[3]  # by this one's, whose report comes first
    lane.take_back(OUTCOME, batches[3])
    assert lane.current is batches[3]
    other.take_back(OUTCOME, batches[2])
    assert other.current is batches[2]
    assert not lane.shelf.batches


@pytest.mark.parametrize("are_all_dead", [False, True])
async def test_dead_lane_leaves_what_lies_ready_to_others(are_all_dead: bool) -> None:
    lane, other = lanes()
    batches = [new_batch() for _ in range(3)]
    lane.submit(batches[0], 0.0)
    other.submit(batches[1], 0.0)
    lane.submit(batches[2], 0.0)
    lane.has_died = True
    other.has_died = are_all_dead
    ready = batches[2] if are_all_dead else []
    assert give_up(lane, [lane, other]) == batches[0] + ready
    assert list(lane.shelf.batches) == ([] if are_all_dead else [batches[2]])
    assert other.current is batches[1]


async def test_idle_lane_goes_on_with_what_a_dead_one_leaves() -> None:
    lane, other = lanes()
    first, second = new_batch(), new_batch()
    lane.submit(first, 0.0)
    lane.submit(second, 0.0)
    lane.has_died = True
    assert give_up(lane, [lane, other]) == first
    assert other.current is second


async def test_all_is_given_up_once() -> None:
    lane, other = lanes()
    batches = [new_batch() for _ in range(3)]
    lane.submit(batches[0], 0.0)
    other.submit(batches[1], 0.0)
    other.submit(batches[2], 0.0)
    given = give_up_all([lane, other])
    assert sorted(map(id, given)) == sorted(id(task) for batch in batches for task in batch)
    assert give_up_all([lane, other]) == []


async def test_what_lies_ready_is_expected_behind_whoever_is_free_first() -> None:
    lane, other = lanes()
    lane.submit(new_batch(4), 0.0)
    other.submit(new_batch(1), 0.0)
    lane.submit(new_batch(2), 0.0)
    assert free_in_s([lane, other], 0.5, float) == [3.5, 2.5]
