"""``keraserve tune`` refuses what it cannot do before it measures for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli import main
from tests.factories.versions import Defect, make_version


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--model-dir", "nowhere"], "the model store nowhere is no folder"),
        (["birds"], "models has no model birds; it has: cifar10"),
        (["cifar10:7"], "models has no version 7 of cifar10; it has: 2, 1"),
        (["cifar10:"], "'model.keras' has"),  # the newest, and that is damaged
        (["cifar10:2"], "'model.keras' has"),
        (["--json", "models"], "models is a folder"),
        (["--plot", "nowhere/x.svg"], "nowhere is no folder"),
        (["--write", "mine.env"], "mine.env exists"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_version(tmp_path / "models", version=1)
    make_version(tmp_path / "models", version=2, defect=Defect.WRONG_SIZE)
    Path("mine.env").write_text("KEPT=1\n")

    assert main(["tune", *arguments]) == 2

    assert complaint in capsys.readouterr().err
    assert Path("mine.env").read_text() == "KEPT=1\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--target-ms", "0"],
        ["--target-ms", "soon"],
        ["--time-limit-s", "1"],
        ["--latency", "--throughput"],
        ["--latency", "--target-ms", "5"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["tune", *arguments])

    assert caught.value.code == 2
