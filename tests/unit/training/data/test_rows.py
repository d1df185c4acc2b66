from __future__ import annotations

import math
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.data.reading import read_own
from training.data.dataset import DataError
from training.data.rows import fill_rows


@pytest.mark.parametrize("count", [0, 1, 100, 1000, 1001, 3500])
def test_every_row_is_done_once(count: int) -> None:
    done = np.zeros(count, int)

    def work(row: int) -> str | None:
        done[row] += 1
        return "odd" if row % 2 else None

    failed = fill_rows(count, work)

    assert (done == 1).all()
    assert failed == dict.fromkeys(range(1, count, 2), "odd")
    assert list(failed) == sorted(failed)


def test_rows_are_done_at_the_same_time_where_there_are_cores() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core: threads would gain nothing, and there is one")
    together = threading.Barrier(2, timeout=20)  # broken, and raised, if one thread does all

    assert len(fill_rows(2, lambda row: str(together.wait()))) == 2


def test_error_ends_the_work_and_drops_what_has_not_begun() -> None:
    begun: list[int] = []

    def work(row: int) -> str | None:
        begun.append(row)
        raise DataError("stop")

    with pytest.raises(DataError, match="stop"):
        fill_rows(1_000_000, work)

    assert len(begun) <= len(os.sched_getaffinity(0))


def test_no_bar_unless_on_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    fill_rows(100, lambda row: None)

    assert capfd.readouterr() == ("", "")


def test_set_that_exceeds_the_memory_is_refused_before_it_is_made(tmp_path: Path) -> None:
    side = 4096
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    count = math.ceil(memory / (side * side * 3)) + 2
    labels = np.arange(count) % 2
    np.savez(tmp_path / "set.npz", x_train=np.zeros((count, 1, 1), np.uint8), y_train=labels)

    with pytest.raises(DataError, match=r"4096 × 4096 × 3 take [\d.]+ GB.*data\.input"):
        read_own(tmp_path / "set.npz", side=side, channels=3)
