from __future__ import annotations

import math

import pytest

from app.batching.policy import BatchPolicy, retry_after_s
from tests.unit.batching.world import policy

SOME_SIZES = (1, 3, 8)


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        pytest.param(1, 1, id="a lone image needs no padding"),
        pytest.param(2, 3, id="two are padded up to the next allowed size"),
        pytest.param(3, 3, id="an allowed size stays"),
        pytest.param(4, 8, id="one more than an allowed size takes the next"),
        pytest.param(8, 8, id="a full batch stays"),
    ],
)
def test_a_batch_is_padded_to_the_next_allowed_size(size: int, padded: int) -> None:
    assert BatchPolicy(8, SOME_SIZES).padded_size(size) == padded


@pytest.mark.parametrize("size", [0, -1, 9])
def test_a_size_that_no_batch_has_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"a batch of {size} images"):
        BatchPolicy(8, SOME_SIZES).padded_size(size)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size is 0.*KERASERVE_MAX_BATCH_SIZE"),
        ({"allowed_batch_sizes": ()}, "KERASERVE_ALLOWED_BATCH_SIZES"),
        ({"allowed_batch_sizes": (0, 64)}, "positive and ascending"),
        ({"allowed_batch_sizes": (1, 1, 64)}, "positive and ascending"),
        ({"allowed_batch_sizes": (2, 1, 64)}, "positive and ascending"),
        ({"allowed_batch_sizes": (1, 32)}, "ends with 32, max_batch_size is 64"),
        ({"batch_timeout_s": -0.1}, "KERASERVE_BATCH_TIMEOUT_MS"),
        ({"batch_timeout_s": math.inf}, "KERASERVE_BATCH_TIMEOUT_MS"),
        ({"batch_timeout_s": math.nan}, "KERASERVE_BATCH_TIMEOUT_MS"),
        ({"max_queue_size": 0}, "max_queue_size is 0.*KERASERVE_MAX_QUEUE_SIZE"),
        ({"stall_after_s": 0}, "stall_after_s is 0"),
        ({"stall_after_s": math.nan}, "stall_after_s is nan"),
    ],
)
def test_contradicting_numbers_are_refused_by_name(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchPolicy(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("interactive", "bulk", "is_device_busy", "waited_s", "closes"),
    [
        pytest.param(0, 0, False, 9.0, False, id="nobody waits"),
        pytest.param(1, 0, False, 0.0, False, id="one waits, its timeout has just begun"),
        pytest.param(1, 0, False, 0.49, False, id="just before the timeout"),
        pytest.param(1, 0, False, 0.5, True, id="at the timeout"),
        pytest.param(0, 1, False, 0.5, True, id="bulk at the timeout"),
        pytest.param(3, 0, False, 0.0, False, id="almost full, timeout not over"),
        pytest.param(4, 0, False, 0.0, True, id="full"),
        pytest.param(2, 2, False, 0.0, True, id="full with both classes"),
        pytest.param(1, 0, True, 9.0, False, id="device busy, timeout over"),
        pytest.param(3, 9, True, 9.0, False, id="device busy, full only with bulk"),
        pytest.param(4, 0, True, 0.0, True, id="device busy, full of interactive"),
    ],
)
def test_a_batch_closes_when(
    interactive: int, bulk: int, is_device_busy: bool, waited_s: float, closes: bool
) -> None:
    assert closes == policy(4, batch_timeout_s=0.5).may_close(
        interactive=interactive,
        bulk=bulk,
        is_device_busy=is_device_busy,
        oldest_enqueued_at_s=100.0 if interactive + bulk else math.inf,
        now_s=100.0 + waited_s,
    )


def test_without_a_timeout_one_waiting_task_closes_the_batch_at_once() -> None:
    assert BatchPolicy().may_close(
        interactive=1, bulk=0, is_device_busy=False, oldest_enqueued_at_s=100.0, now_s=100.0
    )


def test_the_timeout_counts_from_the_oldest_task() -> None:
    assert BatchPolicy(batch_timeout_s=0.5).closes_at_s(100.0) == 100.5


@pytest.mark.parametrize(
    ("sizes", "smaller"),
    [
        pytest.param((1, 2, 4, 8), (1, 2, 4), id="powers of two: half"),
        pytest.param((1, 3, 8), (1, 3), id="the largest allowed size up to half"),
        pytest.param((1, 2), (1,), id="down to one"),
        pytest.param((1,), (1,), id="one stays"),
        pytest.param((6, 8), (6,), id="nothing up to half: the smallest, for all is padded to it"),
    ],
)
def test_out_of_memory_halves_the_largest_size(
    sizes: tuple[int, ...], smaller: tuple[int, ...]
) -> None:
    shrunk = BatchPolicy(sizes[-1], sizes, max_queue_size=7).smaller()
    assert (shrunk.allowed_batch_sizes, shrunk.max_batch_size) == (smaller, smaller[-1])
    assert shrunk.max_queue_size == 7


@pytest.mark.parametrize(
    ("queue_size", "images_per_s", "seconds"),
    [
        pytest.param(1000, 100.0, 10.0, id="the queue at the measured rate"),
        pytest.param(10, 100.0, 1.0, id="at least one second"),
        pytest.param(1000, 0.0, 1.0, id="one second where nothing was measured"),
    ],
)
def test_retry_after_is_the_time_until_the_queue_is_gone(
    queue_size: int, images_per_s: float, seconds: float
) -> None:
    assert retry_after_s(queue_size, images_per_s) == seconds


@pytest.mark.parametrize(
    ("waiting", "size"),
    [
        pytest.param(1, 1, id="a lone image goes"),
        pytest.param(3, 3, id="a quarter of filling is accepted"),
        pytest.param(5, 4, id="three of eight would be filling, so four go"),
        pytest.param(6, 6, id="two of eight are a quarter"),
        pytest.param(47, 32, id="just above a quarter of 64"),
        pytest.param(48, 48, id="exactly a quarter of 64"),
        pytest.param(64, 64, id="a full batch goes"),
        pytest.param(200, 64, id="no more than the largest"),
    ],
)
def test_batch_takes_what_is_executed_with_little_filling(waiting: int, size: int) -> None:
    assert BatchPolicy().size_to_take(waiting) == size


@pytest.mark.parametrize("waiting", [3, 20, 47])
def test_batch_is_not_cut_to_crumbs_where_allowed_sizes_are_sparse(waiting: int) -> None:
    assert BatchPolicy(64, (1, 64)).size_to_take(waiting) == waiting


def test_batch_below_the_smallest_allowed_size_goes_with_filling() -> None:
    assert BatchPolicy(16, (8, 16)).size_to_take(2) == 2
