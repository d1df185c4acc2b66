"""Counts and accuracy of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.bulk.records import Classified, Failed
from app.bulk.tally import Tally
from app.inference.records import ImageInfo, Prediction


def found(file: str, label: str) -> Classified:
    info = ImageInfo("PNG", 4, 4, "RGB")
    return Classified(file, "pets", 1, (Prediction(label, 0, 0.9),), info)


def test_folders_that_are_labels_say_what_is_right() -> None:
    tally = Tally(["cat", "dog"])
    tally.add([found("x/cat/1.png", "cat"), found("x/cat/2.png", "dog"), found("dog/3", "dog")])
    tally.add([found("other/4.png", "cat"), Failed("cat/5.png", "invalid_image", "broken")])

    assert (tally.classified, tally.failed, tally.total) == (4, 1, 5)
    assert tally.summary(2.0) == [
        "4 classified, 1 broken in 2.0 s: 2 images/s",
        "accuracy 0.6667: 2 of the 3 of 4 files whose folder is a label",
    ]
    assert tally.failures() == ["cat/5.png: broken"]


def test_without_such_folders_nothing_is_said_of_accuracy() -> None:
    tally = Tally(["cat"])
    tally.add([found("a.png", "cat")])
    assert tally.summary(0.5) == ["1 classified in 0.5 s: 2 images/s"]


def test_files_right_here_are_in_the_folder_that_we_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat").mkdir()
    monkeypatch.chdir(tmp_path / "cat")
    tally = Tally(["cat"])
    tally.add([found("a.png", "cat"), found("./b.png", "dog")])
    assert (tally.labelled, tally.correct) == (2, 1)


def test_names_of_broken_files_do_not_steer_the_terminal() -> None:
    tally = Tally([])
    tally.add([Failed("\x1b[2J\n.png", "invalid_image", "broken")])
    assert tally.failures() == ["\\x1b[2J\\n.png: broken"]


def test_of_many_broken_files_the_first_are_named() -> None:
    tally = Tally([])
    tally.add([Failed(f"{n}.png", "invalid_image", "broken") for n in range(1000)])
    lines = tally.failures()
    assert len(lines) == 21
    assert lines[-1] == "and 980 more, which are in the output"


def test_a_run_of_no_time_has_no_rate() -> None:
    assert Tally([]).summary(0.0) == ["0 classified in 0.0 s: 0 images/s"]


@pytest.mark.parametrize("file", ["-", "cat"])
def test_name_without_a_folder_is_no_label(file: str) -> None:
    tally = Tally(["cat/"])
    tally.add([found(file, "cat")])
    assert tally.labelled == 0
