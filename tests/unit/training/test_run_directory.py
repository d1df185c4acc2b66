from __future__ import annotations

from pathlib import Path

import pytest

from training.data import DataError
from training.run_directory import EpochRecord, RunDirectory, replace_file

EPOCH: EpochRecord = {
    "epoch": 1, "loss": 0.5, "accuracy": 0.8, "learning_rate": 1e-3, "duration_s": 2.0,
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "tiny-01234567")


def test_new_run_has_done_nothing(run: RunDirectory) -> None:
    run.begin("sha256:a")

    assert run.history() == []
    assert run.epochs_done() == 0
    assert run.published_version() is None


def test_history_comes_back_as_written(run: RunDirectory) -> None:
    run.begin("sha256:a")
    run.write_history([EPOCH, {**EPOCH, "epoch": 2}])
    run.checkpoint.touch()

    assert run.history() == [EPOCH, {**EPOCH, "epoch": 2}]
    assert run.epochs_done() == 2


def test_run_goes_on_with_the_same_data_set(run: RunDirectory) -> None:
    run.begin("sha256:a")
    run.begin("sha256:a")


def test_run_does_not_go_on_with_another_data_set(run: RunDirectory) -> None:
    run.begin("sha256:a")

    with pytest.raises(DataError, match=r"begun with the data set sha256:a, .* --fresh"):
        run.begin("sha256:b")


def test_published_run_keeps_its_history_and_gives_its_space_back(run: RunDirectory) -> None:
    run.begin("sha256:a")
    run.write_history([EPOCH])
    run.checkpoint.touch()
    run.export.touch()

    run.end(7)

    assert run.published_version() == 7
    assert run.history() == [EPOCH]
    assert run.epochs_done() == 0
    assert not run.checkpoint.exists()
    assert not run.export.exists()


def test_cleared_run_begins_with_any_data_set(run: RunDirectory) -> None:
    run.begin("sha256:a")
    run.write_history([EPOCH])
    run.end(7)

    run.clear()
    run.begin("sha256:b")

    assert run.published_version() is None
    assert run.history() == []


def test_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")

    def fail_half_way(part: Path) -> None:
        part.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, fail_half_way)

    assert path.read_text() == "old"
