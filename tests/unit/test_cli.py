"""``keraserve models``; serving is tested with a process of its own in tests/keras."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import main
from app.registry.labels import read_labels
from tests.factories.versions import Defect, make_version


def test_list_shows_every_version_and_whether_its_files_are_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_version(tmp_path, version=1)
    make_version(tmp_path, version=2, defect=Defect.WRONG_SIZE)

    assert main(["models", "list", "--model-dir", str(tmp_path)]) == 1

    _, broken, whole = capsys.readouterr().out.splitlines()
    assert broken.split()[:2] == ["cifar10", "2"]
    assert "FAILED: 'model.keras' has" in broken
    assert whole.endswith("whole")


@pytest.mark.parametrize(
    ("defect", "reason"),
    [
        (Defect.NO_MANIFEST, "manifest.json is missing"),
        (Defect.WRONG_SHA256, "'model.keras' has SHA-256"),
        (Defect.UNLISTED_FILE, "'report/notes.txt' is not in manifest.json"),
    ],
)
def test_check_of_a_damaged_version_exits_1_with_the_reason(
    defect: Defect, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_version(tmp_path, defect=defect)

    assert main(["models", "check", str(folder)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{folder}: {reason}")

    assert main(["models", "check", str(folder), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["reason"].startswith(reason)


def test_check_of_nothing_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", str(tmp_path / "9")]) == 1

    assert capsys.readouterr().out.endswith("9 is no folder\n")


def test_label_is_written_and_taken_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_version(tmp_path, version=2)
    words = ["models", "label", "cifar10", "stable"]

    assert main([*words, "2", "--model-dir", str(tmp_path)]) == 0
    assert read_labels(tmp_path) == {"cifar10": {"stable": 2}}

    assert main([*words, "--remove", "--model-dir", str(tmp_path)]) == 0
    assert read_labels(tmp_path) == {}
    assert capsys.readouterr().out.splitlines() == [
        "stable is cifar10:2",
        "cifar10 has no label stable any more",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["7"], "has no version 7 of cifar10; it has: 2"),
        ([], "give a version, or --remove"),
        (["2", "--remove"], "give a version, or --remove"),
    ],
)
def test_label_that_points_nowhere_is_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_version(tmp_path, version=2)

    code = main(["models", "label", "cifar10", "stable", *words, "--model-dir", str(tmp_path)])

    assert code == 2
    assert message in capsys.readouterr().err
    assert read_labels(tmp_path) == {}
