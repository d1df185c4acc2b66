"""The engine's three ways to execute: all cores, and each of the streams that share them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.artifacts.layout import OPENVINO_MODEL
from app.artifacts.manifest import read_manifest
from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.batching.task import TaskResult
from app.errors import ArtifactError, BatcherStoppedError
from app.runtime.loader import load_servable
from app.runtime.openvino_engine import OpenVinoServable
from app.runtime.policy import EnginePolicy
from app.runtime.streams import JOINS_AT, StreamGroup
from tests.fakes import RecordingObserver
from tests.keras.runtime.side_by_side import expect_members_side_by_side
from tests.keras.runtime.test_openvino_engine import SHIPPED, SPEC, images

pytestmark = pytest.mark.keras

SIZES = (1, 4, 16, 32)


def network(threads: int) -> OpenVinoServable:
    path = SHIPPED / OPENVINO_MODEL
    return OpenVinoServable(path, SPEC, 10, SIZES, "float32", threads=threads)


@pytest.mark.parametrize("threads", [1, 2, 3], ids=["one core", "a core each", "three"])
@pytest.mark.parametrize("count", [1, 3, JOINS_AT - 1, JOINS_AT, 20, 32])
def test_all_ways_give_the_same_answers(threads: int, count: int) -> None:
    group = StreamGroup(network(threads))
    expected = group.execute(images(count))
    assert expected.shape == (count, 10)
    for member in group.members:
        np.testing.assert_allclose(member.execute(images(count)), expected, atol=1e-6)
    group.close()


@pytest.mark.parametrize("count", [2, 20])
def test_answers_are_not_written_over_by_the_next_batch(count: int) -> None:
    group = StreamGroup(network(2))
    for each in (group, *group.members):
        first = each.execute(images(count))
        before = first.copy()
        each.execute(images(count)[::-1])
        np.testing.assert_array_equal(first, before)
    group.close()


def test_members_execute_side_by_side_what_is_their_own() -> None:
    expect_members_side_by_side(StreamGroup(network(2)), images)


@pytest.mark.parametrize(
    ("threads", "sizes", "is_shared"),
    [
        pytest.param(2, SIZES, True, id="two cores"),
        pytest.param(1, SIZES, False, id="one core has nothing to share"),
        pytest.param(2, (1, 4, 8), False, id="no batch would be large enough"),
    ],
)
def test_cores_are_shared_where_that_can_be(
    threads: int, sizes: tuple[int, ...], is_shared: bool
) -> None:
    policy = EnginePolicy("openvino", "float32", sizes, threads=threads)
    servable = load_servable(SHIPPED, read_manifest(SHIPPED), policy)
    assert isinstance(servable, StreamGroup) == is_shared
    servable.warm_up()
    servable.close()


def test_what_cannot_be_compiled_for_several_is_an_error_of_the_version() -> None:
    one = network(2)
    with pytest.raises(ArtifactError, match=r"model\.xml cannot be loaded by OpenVINO"):
        one.on_streams(-7)
    one.close()


async def test_behind_a_batcher_who_leaves_costs_others_nothing() -> None:
    group = StreamGroup(network(2))
    given = images(600)
    expected = np.concatenate([group.execute(given[at : at + 20]) for at in range(0, 600, 20)])
    batcher = DynamicBatcher(
        group, BatchPolicy(32, SIZES, max_queue_size=600), observer=RecordingObserver()
    )
    batcher.start()
    tasks = []
    for number, image in enumerate(given):
        tasks.append(batcher.schedule(image))
        if number % 3 == 0:
            await asyncio.sleep(0)
        if number % 2:  # from the queue, from what the engine has, and from what it executes
            tasks[(number * 7) % len(tasks)].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    answered = 0
    for scores, result in zip(expected, found, strict=True):
        if isinstance(result, TaskResult):
            np.testing.assert_allclose(result.scores, scores, atol=1e-6)
            answered += 1
        else:
            assert isinstance(result, asyncio.CancelledError)
    assert 300 <= answered < 600
    await batcher.close()
    group.close()


async def test_what_is_cut_off_lies_in_the_engines_queue_and_may_be_closed() -> None:
    group = StreamGroup(network(2))
    batcher = DynamicBatcher(
        group, BatchPolicy(32, SIZES, max_queue_size=600), observer=RecordingObserver()
    )
    batcher.start()
    tasks = batcher.schedule_many(list(images(600)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert await batcher.close(timeout_s=0)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, TaskResult | BatcherStoppedError) for each in found)
    await batcher.closed()
    group.close()
