from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from training.data.dataset import DataError
from training.fitting.run_directory import (
    EpochRecord,
    Origin,
    RunDirectory,
    RunInUseError,
    replace_file,
)

EPOCH: EpochRecord = {
    "epoch": 1, "loss": 0.5, "accuracy": 0.8, "val_loss": 0.6, "val_accuracy": 0.7,
    "learning_rate": 1e-3, "duration_s": 2.0,
}  # fmt: skip
ORIGIN = Origin("sha256:a", "0123abc", "2 × a processor")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "runs" / "tiny-01234567")
    run.begin(ORIGIN)
    return run


def save(run: RunDirectory, epochs: int) -> None:
    """Write what the end of the last of ``epochs`` writes."""
    run.write_history([{**EPOCH, "epoch": number} for number in range(1, epochs + 1)])
    run.write_checkpoint(epochs, lambda part: part.write_text(f"state {epochs}"))


def test_new_run_has_done_nothing(run: RunDirectory) -> None:
    assert run.history() == []
    assert run.checkpoint() is None
    assert run.published_version() is None


def test_state_comes_back_as_written_and_the_older_one_is_gone(run: RunDirectory) -> None:
    save(run, 1)
    save(run, 2)

    checkpoint = run.checkpoint()
    assert checkpoint is not None
    path, epochs = checkpoint
    assert (path.read_text(), epochs) == ("state 2", 2)
    assert run.history() == [EPOCH, {**EPOCH, "epoch": 2}]
    assert len(list(run.path.glob("checkpoint-*"))) == 1


def test_epoch_that_was_recorded_but_not_saved_does_not_count(run: RunDirectory) -> None:
    save(run, 1)
    run.write_history([EPOCH, {**EPOCH, "epoch": 2}])  # killed here

    assert run.history() == [EPOCH]


def test_newest_state_counts_if_the_older_one_was_not_removed(run: RunDirectory) -> None:
    save(run, 9)
    (run.path / "checkpoint-00010.keras").write_text("state 10")

    checkpoint = run.checkpoint()
    assert checkpoint is not None
    assert checkpoint[1] == 10


def test_half_written_state_is_none(run: RunDirectory) -> None:
    (run.path / "part-checkpoint-00001.keras").write_text("sta")

    assert run.checkpoint() is None


def test_run_goes_on_with_what_it_began_with(run: RunDirectory) -> None:
    assert run.begin(Origin("sha256:a", "4567def", "1 × a GPU")) == ORIGIN


def test_run_does_not_go_on_with_another_data_set(run: RunDirectory) -> None:
    with pytest.raises(DataError, match=r"begun with the data set sha256:a, .* --fresh"):
        run.begin(Origin("sha256:b", None, ""))


def test_run_does_not_go_on_with_another_teacher(run: RunDirectory) -> None:
    with pytest.raises(DataError, match=r"begun with another teacher of the same name .*--fresh"):
        run.begin(replace(ORIGIN, teacher="0" * 64))


def test_published_run_keeps_its_history_and_gives_its_space_back(run: RunDirectory) -> None:
    save(run, 1)
    run.export.touch()
    run.best_weights.touch()
    (run.path / "part-export.keras").touch()

    run.end(7)

    assert run.published_version() == 7
    assert run.checkpoint() is None
    assert {path.name for path in run.path.iterdir()} == {
        "history.jsonl",
        "origin.json",
        "published.json",
    }


def test_cleared_run_begins_with_any_data_set(run: RunDirectory) -> None:
    save(run, 1)
    (run.path / "part-checkpoint-00002.keras").touch()
    (run.tensorboard / "train").mkdir(parents=True)

    run.clear()

    assert list(run.path.iterdir()) == []
    assert run.begin(Origin("sha256:b", None, "")).fingerprint == "sha256:b"


def test_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")

    def fail_half_way(part: Path) -> None:
        part.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, fail_half_way)

    assert path.read_text() == "old"


HOLDER = """
import sys
from pathlib import Path
from training.fitting.run_directory import RunDirectory

with RunDirectory(Path(sys.argv[1])).locked():
    print("in", flush=True)
    sys.stdin.read()
"""


def test_second_process_is_refused_until_the_first_is_gone_however_it_went(
    run: RunDirectory,
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"

        with pytest.raises(RunInUseError, match=r"another process trains this run, in .*tiny"):
            run.locked().__enter__()

        holder.kill()
        holder.wait(timeout=30)
    with run.locked():
        assert run.path.is_dir()
