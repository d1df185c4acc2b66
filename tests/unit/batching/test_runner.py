from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
import pytest

from app.batching.runner import BatchOutcome, BatchRunner
from app.batching.task import BatchTask
from app.errors import ExecutionError, OutOfDeviceMemoryError
from app.types import ImageArray, ScoreArray
from tests.fakes import FakeClock, PuppetServable, scores_of
from tests.unit.batching.world import (
    is_poisoned,
    poisoned,
    policy,
    random_images,
    refuse_poison,
)

Behaviour = Callable[[ImageArray], ScoreArray]


def tasks_of(images: list[ImageArray]) -> list[BatchTask]:
    loop = asyncio.get_running_loop()
    return [
        BatchTask(image, loop.create_future(), enqueued_at_s=0.0, forget=lambda task: None)
        for image in images
    ]


def run(behave: Behaviour, images: list[ImageArray]) -> tuple[BatchOutcome, PuppetServable]:
    puppet = PuppetServable(behave)
    return BatchRunner(puppet, policy(8), FakeClock()).run(tasks_of(images)), puppet


def memory_for(most: int) -> Behaviour:
    """Return the behaviour of a device that holds so many images."""

    def behave(images: ImageArray) -> ScoreArray:
        if len(images) > most:
            raise OutOfDeviceMemoryError(f"{len(images)} images")
        return scores_of(images)

    return behave


def good_images(outcome: BatchOutcome) -> list[ImageArray]:
    return [task.image for execution in outcome.executions for task in execution.tasks]


async def test_a_batch_that_succeeds_is_one_execution() -> None:
    images = random_images(5)
    outcome, puppet = run(scores_of, images)
    (execution,) = outcome.executions
    assert np.array_equal(execution.scores, scores_of(np.stack(images)))
    assert (execution.size, execution.padded) == (5, 3)
    assert puppet.batch_sizes == [5]
    assert not outcome.failures


async def test_the_scores_are_a_copy_that_the_engine_cannot_write_into() -> None:
    buffer = np.full((1, 10), 0.1, np.float32)
    outcome, _ = run(lambda images: buffer, random_images(1))
    buffer[:] = 0
    assert outcome.executions[0].scores.min() > 0


@pytest.mark.parametrize("culprits", [[0], [6], [3, 4], [0, 2, 4, 6], list(range(7))])
async def test_a_failing_batch_is_split_until_the_culprits_stand_alone(culprits: list[int]) -> None:
    images = random_images(7)
    for index in culprits:
        images[index] = poisoned(images[index])
    outcome, _ = run(refuse_poison, images)
    assert {id(task.image) for task, _ in outcome.failures} == {id(images[i]) for i in culprits}
    expected = [image for i, image in enumerate(images) if i not in culprits]
    assert len(outcome.tasks) == 7, "each of them once"
    assert {id(image) for image in good_images(outcome)} == {id(image) for image in expected}
    for _, error in outcome.failures:
        assert isinstance(error.__cause__, ValueError)
        assert "poison" not in str(error)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 32, 64])
async def test_one_culprit_costs_the_logarithm_and_one_more_executions(size: int) -> None:
    for culprit in range(size):
        images = random_images(size)
        images[culprit] = poisoned(images[culprit])
        puppet = PuppetServable(refuse_poison)
        outcome = BatchRunner(puppet, policy(64), FakeClock()).run(tasks_of(images))
        assert [task.image is images[culprit] for task, _ in outcome.failures] == [True]
        assert len(good_images(outcome)) == size - 1
        assert len(puppet.executed) - 1 <= math.ceil(math.log2(size)) + 1


async def test_the_search_takes_one_half_after_the_other_and_what_it_passed_by_at_last() -> None:
    images = random_images(8)
    images[1] = poisoned(images[1])
    _, puppet = run(refuse_poison, images)
    assert puppet.batch_sizes == [8, 4, 2, 1, 6]


async def test_a_fault_that_does_not_come_again_hurts_nobody() -> None:
    left = 1

    def behave(images: ImageArray) -> ScoreArray:
        nonlocal left
        if left:
            left -= 1
            raise RuntimeError("once")
        return scores_of(images)

    outcome, puppet = run(behave, random_images(8))
    assert not outcome.failures
    assert len(good_images(outcome)) == 8
    assert puppet.batch_sizes == [8, 4, 2, 1, 1]


async def test_a_broken_device_costs_no_more_executions_than_halving() -> None:
    outcome, puppet = run(break_down, random_images(8))
    assert len(outcome.failures) == 8
    assert len(puppet.executed) <= 3 + 2 * 8


async def test_out_of_memory_in_the_midst_of_a_search_fails_the_culprit_only() -> None:
    def behave(images: ImageArray) -> ScoreArray:
        if len(images) == 4:
            raise OutOfDeviceMemoryError("4 images")
        return refuse_poison(images)

    images = random_images(8)
    images[6] = poisoned(images[6])
    outcome, _ = run(behave, images)
    assert [task.image is images[6] for task, _ in outcome.failures] == [True]
    assert len(good_images(outcome)) == 7
    assert outcome.policy.max_batch_size == 2


async def test_a_task_cancelled_in_the_midst_of_a_search_is_not_executed_again() -> None:
    images = random_images(8)
    images[1] = poisoned(images[1])
    tasks = tasks_of(images)

    def behave(stacked: ImageArray) -> ScoreArray:
        if len(stacked) == 2:
            tasks[0].cancel()
            tasks[1].cancel()
        return refuse_poison(stacked)

    puppet = PuppetServable(behave)
    outcome = BatchRunner(puppet, policy(8), FakeClock()).run(tasks)
    assert not outcome.failures
    assert len(good_images(outcome)) == 6
    assert puppet.batch_sizes == [8, 4, 2, 6]


async def test_out_of_memory_halves_the_largest_size_for_good() -> None:
    puppet = PuppetServable(memory_for(2))
    runner = BatchRunner(puppet, policy(8), FakeClock())
    images = random_images(8)
    outcome = runner.run(tasks_of(images))
    assert [id(image) for image in good_images(outcome)] == [id(image) for image in images]
    assert outcome.policy.max_batch_size == 2
    assert outcome.policy.allowed_batch_sizes == (1, 2)
    assert puppet.batch_sizes == [8, 4, 2, 2, 2, 2]
    later = runner.run(tasks_of(images[:4]))
    assert puppet.batch_sizes[6:] == [2, 2]
    assert later.policy is outcome.policy


async def test_a_lone_image_without_memory_fails_and_shrinks_nothing() -> None:
    outcome, puppet = run(memory_for(0), random_images(1))
    ((_, error),) = outcome.failures
    assert type(error) is ExecutionError
    assert isinstance(error.__cause__, OutOfDeviceMemoryError)
    assert outcome.policy.max_batch_size == 8
    assert puppet.batch_sizes == [1]


@pytest.mark.parametrize(
    "distort",
    [
        pytest.param(lambda scores: scores[:-1], id="a row is missing"),
        pytest.param(lambda scores: np.vstack([scores, scores[:1]]), id="a row of padding is left"),
        pytest.param(lambda scores: scores[:, :0], id="no classes"),
        pytest.param(lambda scores: scores.ravel(), id="one axis"),
        pytest.param(lambda scores: scores[np.newaxis], id="three axes"),
        pytest.param(lambda scores: None, id="nothing"),
        pytest.param(lambda scores: "ten", id="no numbers"),
    ],
)
async def test_an_answer_of_the_wrong_shape_reaches_nobody(
    distort: Callable[[ScoreArray], ScoreArray],
) -> None:
    outcome, _ = run(lambda images: distort(scores_of(images)), random_images(4))
    assert not outcome.executions
    assert len(outcome.failures) == 4
    assert all(error.code == "execution_failed" for _, error in outcome.failures)


async def test_a_wrong_number_of_rows_that_splitting_cures_hurts_nobody() -> None:
    def behave(images: ImageArray) -> ScoreArray:
        return scores_of(images)[:2]

    images = random_images(8)
    outcome, _ = run(behave, images)
    assert len(good_images(outcome)) == 8
    assert not outcome.failures


async def test_images_of_different_shapes_are_told_apart_by_splitting() -> None:
    images = random_images(4)
    images[1], images[3] = images[1][:2], images[3][:2]
    outcome, puppet = run(scores_of, images)
    assert len(good_images(outcome)) == 4
    assert max(puppet.batch_sizes) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_a_row_that_is_not_finite_hurts_its_own_image_only(value: float) -> None:
    def behave(images: ImageArray) -> ScoreArray:
        scores = scores_of(images)
        scores[images[:, 0, 0, 0] == 255, 4] = value
        return scores

    images = random_images(4)
    images[2] = poisoned(images[2])
    outcome, puppet = run(behave, images)
    assert puppet.batch_sizes == [4]
    assert [task.image is images[2] for task, _ in outcome.failures] == [True]
    (execution,) = outcome.executions
    kept = [images[0], images[1], images[3]]
    assert [task.image is image for task, image in zip(execution.tasks, kept, strict=True)]
    assert np.array_equal(execution.scores, scores_of(np.stack(kept)))
    assert execution.size == 4


async def test_a_task_cancelled_before_the_device_took_it_is_not_executed() -> None:
    puppet = PuppetServable()
    tasks = tasks_of(random_images(3))
    tasks[1].cancel()
    outcome = BatchRunner(puppet, policy(8), FakeClock()).run(tasks)
    assert puppet.batch_sizes == [2]
    assert outcome.tasks == [tasks[0], tasks[2]]


async def test_a_batch_of_cancelled_tasks_is_no_execution() -> None:
    puppet = PuppetServable()
    tasks = tasks_of(random_images(2))
    for task in tasks:
        task.cancel()
    outcome = BatchRunner(puppet, policy(8), FakeClock()).run(tasks)
    assert puppet.batch_sizes == []
    assert outcome.tasks == []


async def test_what_is_no_image_fault_passes_through() -> None:
    def behave(images: ImageArray) -> ScoreArray:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run(behave, random_images(2))


def break_down(images: ImageArray) -> ScoreArray:
    raise RuntimeError("lost the device")


def only_nan(images: ImageArray) -> ScoreArray:
    return scores_of(images) * np.float32(np.nan)


@pytest.mark.parametrize("behave", [break_down, only_nan])
async def test_a_device_that_fails_on_a_known_good_image_is_sick(behave: Behaviour) -> None:
    puppet = PuppetServable()
    runner = BatchRunner(puppet, policy(8), FakeClock())
    assert not runner.run(tasks_of(random_images(2))).is_device_sick
    puppet.behave = behave
    assert runner.run(tasks_of(random_images(2, seed=1))).is_device_sick
    puppet.behave = scores_of
    assert not runner.run(tasks_of(random_images(2, seed=2))).is_device_sick


async def test_bad_images_alone_do_not_make_the_device_sick() -> None:
    puppet = PuppetServable(refuse_poison)
    runner = BatchRunner(puppet, policy(8), FakeClock())
    good = random_images(1)
    bad = [poisoned(image) for image in random_images(3, seed=1)]
    assert not runner.run(tasks_of(bad)).is_device_sick, "nothing to compare with yet"
    runner.run(tasks_of(good))
    outcome = runner.run(tasks_of(bad))
    assert len(outcome.failures) == 3
    assert not outcome.is_device_sick
    assert not is_poisoned(puppet.executed[-1]), "the known good image was tried"
