"""What `make docker-test` reads and says; that it runs is for machines with an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest

from scripts import container_check
from scripts.container_check import SUBJECTS, base_of, logged, main, sample_of, version
from scripts.container_engine import CheckError, NoEngineError, docker, expect, find_engine
from scripts.container_run import running, volume, wait_until

ROOT = Path(__file__).resolve().parents[3]
LOG = """\
not JSON
{"level":"info","message":"stopping","signal":"SIGTERM"}
{"level":"info","message":"drained","requests_cut_off":0}
["drained"]
"""
EXPOSITION = """\
# HELP keraserve_images_total Images.
keraserve_images_total{model="other",outcome="ok",version="1"} 7.0
keraserve_images_total{model="cifar10",outcome="ok",version="4"} 1.0
keraserve_images_total_more{model="cifar10",outcome="ok"} 9.0
process_resident_memory_bytes 2.0e+08
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with commands."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, program: str) -> None:
    command = folder / "docker"
    command.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    command.chmod(0o755)


def test_machine_without_docker_is_told_what_is_missing(
    commands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 2
    assert "docker-test: not run: the command docker is not installed" in capsys.readouterr().err


def test_docker_without_an_engine_is_told_in_its_own_words(
    commands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(commands, "echo 'Cannot connect to the daemon' >&2; exit 1")
    assert main([]) == 2
    said = capsys.readouterr().err
    assert "no engine answers it" in said
    assert "Cannot connect to the daemon" in said


def test_engine_that_names_no_version_is_none(commands: Path) -> None:
    put(commands, "exit 0")
    with pytest.raises(NoEngineError, match="nothing"):
        find_engine()


def test_build_that_fails_shows_how_it_ended(
    commands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(commands, 'if [ "$1" = version ]; then echo 20.10; else echo "step $*"; exit 3; fi')
    assert main(["--build-option=--network=host"]) == 1
    said = capsys.readouterr()
    assert "docker engine 20.10" in said.out
    assert "docker build failed with 3" in said.err
    assert "--file docker/Dockerfile --tag keraserve:test-cpu" in said.err
    assert "--network=host ." in said.err


def test_command_that_fails_is_told_unless_it_may(commands: Path) -> None:
    put(commands, "echo no such container >&2; exit 1")
    with pytest.raises(CheckError, match="docker rm failed: no such container"):
        docker("rm", "x")
    assert docker("rm", "x", may_fail=True) == ""
    assert docker("logs", "x", may_fail=True) == "no such container\n"


STATE = '{"Status": "%s", "ExitCode": 3, "OOMKilled": false, "Health": {"Status": "%s"}}'


@pytest.mark.parametrize("health", ["healthy", "unhealthy"])
def test_health_is_waited_for_whichever_it_is(
    commands: Path, health: Literal["healthy", "unhealthy"]
) -> None:
    put(commands, f"echo '{STATE % ('running', health)}'")
    assert wait_until(health, "x", within_s=0) >= 0


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (STATE % ("exited", "starting"), "exited, health starting, exit code 3"),
        (STATE % ("running", "unhealthy"), "running, health unhealthy"),
        ('{"Status": "running", "ExitCode": 0, "OOMKilled": false}', "has no health check"),
    ],
    ids=["ended", "not in time", "no health check"],
)
def test_health_that_does_not_come_is_told_with_what_there_is(
    commands: Path, state: str, found: str
) -> None:
    put(commands, f"echo '{state}'")
    with pytest.raises(CheckError, match=f"healthy within 0 s; found: .*{found}"):
        wait_until("healthy", "x", within_s=0)


def test_container_and_volume_are_taken_away_whatever_happens(
    commands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(commands, f'echo "$*" >> {tmp_path}/asked; echo a-name')

    def run_and_fail() -> None:
        with volume() as name, running("tag", "1g", ("/tmp",), "-e=A"):
            raise CheckError(name)

    with pytest.raises(CheckError, match="a-name"):
        run_and_fail()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[1].endswith("--memory 1g --memory-swap 1g --cap-drop ALL --security-opt "
                             "no-new-privileges --read-only -e=A --tmpfs /tmp tag")  # fmt: skip
    assert asked[-2:] == ["rm --force --volumes a-name", "volume rm --force a-name"]
    assert "the log of the container ends with" in capsys.readouterr().out


def test_promise_that_is_not_kept_names_what_was_found() -> None:
    with pytest.raises(CheckError, match=re.escape("has no compiler; found: ['cc']")):
        expect("has no compiler", kept=False, found=["cc"])


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=list(SUBJECTS))
def test_base_is_read_from_the_dockerfile(subject: container_check.Subject) -> None:
    text = (ROOT / subject.dockerfile).read_text(encoding="utf-8")
    assert base_of(text) == "python:3.11-slim-bookworm"


def test_dockerfile_without_a_named_base_is_refused() -> None:
    with pytest.raises(CheckError, match="PYTHON_IMAGE"):
        base_of("FROM python:3.11\n")


def test_metric_is_found_by_its_labels() -> None:
    assert sample_of(EXPOSITION, "keraserve_images_total", model="cifar10", outcome="ok") == 1
    assert sample_of(EXPOSITION, "keraserve_images_total", outcome="ok") == 7
    assert sample_of(EXPOSITION, "keraserve_images_total", outcome="invalid") == 0
    assert sample_of(EXPOSITION, "keraserve_images", outcome="ok") == 0


def test_line_of_the_log_is_found_by_its_message() -> None:
    assert (logged(LOG, "drained") or {})["requests_cut_off"] == 0
    assert (logged(LOG, "stopping") or {})["signal"] == "SIGTERM"
    assert logged(LOG, "not drained") is None


def test_version_is_that_of_the_source() -> None:
    from app import __version__

    assert version() == __version__
