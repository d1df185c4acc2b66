"""What the command line answers before it needs TensorFlow; the rest is in tests/keras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.cli import main
from training.config_file import load_config
from training.fitting.run_directory import RunDirectory


def test_help_tells_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    assert caught.value.code == 0
    text = capsys.readouterr().out
    for command in ("run", "evaluate", "import", "samples", "list", "show", "compare", "remove"):
        assert f"\n    {command} " in text
    assert "refused by the gate" in text


def test_help_of_run_tells_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "--help"])

    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "goes on from its last finished epoch" in text
    assert "refused by the gate" in text


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["run", "mnist"], ["samples", "--help"], ["list"]],
    ids=" ".join,
)
def test_answer_that_needs_no_network_does_not_wait_for_tensorflow(words: list[str]) -> None:
    script = (
        "import sys\n"
        "from training.cli import main\n"
        "try:\n"
        f"    main({words!r})\n"
        "except SystemExit:\n"
        "    print('asked for help')\n"
        "print('heavy:', sorted({'tensorflow', 'keras', 'sklearn', 'matplotlib'} & {*sys.modules}))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_unknown_configuration_exits_2_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "mnist"]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keraserve-train: no configuration 'mnist'")


def test_place_that_cannot_be_written_exits_2_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")

    assert main(["run", "cifar10", "--runs-dir", str(tmp_path / "file" / "runs")]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"keraserve-train: {tmp_path}/file/runs/cifar10-{fingerprint()}: Not a directory"


def fingerprint() -> str:
    return load_config("cifar10").fingerprint


def test_unusable_override_exits_2_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "cifar10", "--set", "fit.epochs=none"]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert "fit.epochs: Input should be a valid integer" in line


@pytest.mark.parametrize(
    "words",
    [[], ["train"], ["run"], ["show"], ["compare", "a"], ["run", "cifar10", "--fres"]],
    ids=["none", "unknown", "no config", "no version", "one version", "shortened option"],
)
def test_wrong_arguments_exit_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)

    assert caught.value.code == 2


def test_second_process_on_the_same_run_exits_2_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    first = RunDirectory(runs / f"cifar10-{load_config('cifar10').fingerprint}")

    with first.locked():
        assert main(["run", "cifar10", "--runs-dir", str(runs)]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"keraserve-train: another process trains this run, in {first.path}")


def test_reader_that_leaves_early_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "training.cli", "show", "cifar10"],
            cwd=Path(__file__).parents[3],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (0, "")
