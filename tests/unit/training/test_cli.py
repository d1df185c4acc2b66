"""What the command line answers before it needs TensorFlow; the rest is in tests/keras."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.artifacts.publish import write_manifest
from tests.factories.versions import make_manifest
from training.cli import main


def publish(models: Path, name: str, version: int, accuracy: float) -> None:
    folder = models / name / str(version)
    folder.mkdir(parents=True)
    metrics = {"test_accuracy": accuracy}
    write_manifest(folder, make_manifest(name, version, metrics=metrics))


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"]], ids=["program", "run"])
def test_help_tells_commands_and_exit_codes(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)

    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "goes on from its last finished epoch" in text
    assert "refused by the gate" in text


def test_unknown_configuration_exits_2_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "mnist"]) == 2

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("keraserve-train: no configuration 'mnist'")


@pytest.mark.parametrize("words", [[], ["train"], ["run"]], ids=["none", "unknown", "no config"])
def test_wrong_arguments_exit_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)

    assert caught.value.code == 2


def test_list_shows_versions_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for version, accuracy in ((10, 0.91), (9, 0.875)):
        publish(tmp_path, "flowers", version, accuracy)
    publish(tmp_path, "birds", 1, 0.5)

    assert main(["list", "--models-dir", str(tmp_path)]) == 0

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in rows[1:]] == [
        ["birds", "1", "0.5000"],
        ["flowers", "9", "0.8750"],
        ["flowers", "10", "0.9100"],
    ]


def test_list_goes_on_after_a_version_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, "flowers", 2, 0.9)
    (tmp_path / "flowers" / "1").mkdir()
    (tmp_path / "flowers" / "1" / "manifest.json").write_text("{")

    assert main(["list", "--models-dir", str(tmp_path)]) == 0

    out = capsys.readouterr().out
    assert "unreadable     manifest.json is invalid" in out
    assert "0.9000" in out


def test_list_of_an_empty_store_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--models-dir", str(tmp_path / "models")]) == 0

    assert "no published versions in" in capsys.readouterr().out
