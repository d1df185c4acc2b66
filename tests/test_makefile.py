"""The Makefile is the only door to the project: it names its targets and they exist."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {
    "bench",
    "bench-peers",
    "bench-train",
    "bench-decoders",
    "bench-engines",
    "bench-swaps",
    "check",
    "clean",
    "docker-test",
    "format",
    "fuzz",
    "help",
    "lint",
    "lock",
    "samples",
    "serve",
    "soak",
    "tensorboard",
    "test",
    "train",
    "typecheck",
    "venv",
}


# Stands for the server: stops as told by a signal, and says so only then.
SERVER = """\
#!{python}
import signal, sys

stopping = {{signal.SIGTERM, signal.SIGINT}}
signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
print("ready", sys.argv[1:], flush=True)
print("drained after", signal.Signals(signal.sigwait(stopping)).name, flush=True)
"""


def inherited() -> dict[str, str]:
    """Return an environment without the settings of the make that runs these tests."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def make(*arguments: str, **environment: str) -> str:
    """Run make in a clean environment and return what it prints."""
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", *arguments],
        env={**inherited(), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def phony_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return {name for line in re.findall(r"^\.PHONY:(.*)$", makefile, re.M) for name in line.split()}


def test_help_describes_every_target() -> None:
    described = dict(re.findall(r"^\s*make (\S+)\s+(\S.*)$", make("help"), re.M))
    assert set(described) == phony_targets()
    assert set(described) >= TARGETS


def test_make_alone_shows_the_help() -> None:
    assert make() == make("help")


@pytest.mark.parametrize(
    ("environment", "seen"),
    [
        pytest.param({"PORT": "9000"}, "9000", id="PORT moves the server"),
        pytest.param({}, "unset", id="without PORT the setting is left alone"),
        pytest.param({"PORT": ""}, "unset", id="an empty PORT is none"),
        pytest.param({"KERASERVE_PORT": "9001"}, "9001", id="the setting's own name works"),
    ],
)
def test_port_reaches_the_server_as_its_setting(
    environment: dict[str, str], seen: str, tmp_path: Path
) -> None:
    probe = tmp_path / "probe.mk"
    probe.write_text("probe: ; @echo $${KERASERVE_PORT-unset}\n", encoding="utf-8")
    assert make("-f", "Makefile", "-f", str(probe), "probe", **environment).strip() == seen


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """``make serve`` with a stand-in for the server, in a process group of its own."""
    server = tmp_path / "keraserve"
    server.write_text(SERVER.format(python=sys.executable), encoding="utf-8")
    server.chmod(0o755)
    instead = ["bootstrap=true", f"bin={tmp_path}"]
    process = subprocess.Popen(
        ["make", "-C", str(ROOT), "--no-print-directory", "serve", *instead],
        env=inherited(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_terminating_make_drains_the_server_before_make_ends(
    serving: subprocess.Popen[str],
) -> None:
    assert serving.stdout is not None
    assert serving.stdout.readline() == "ready ['serve']\n"
    serving.send_signal(signal.SIGTERM)
    assert "drained after SIGTERM" in serving.stdout.read()
    assert serving.wait(timeout=10) == -signal.SIGTERM


def test_control_c_drains_the_server_before_make_ends(serving: subprocess.Popen[str]) -> None:
    assert serving.stdout is not None
    assert serving.stdout.readline() == "ready ['serve']\n"
    os.killpg(serving.pid, signal.SIGINT)  # a terminal sends it to the whole group
    assert "drained after SIGINT" in serving.stdout.read()
    assert serving.wait(timeout=10) == -signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        pytest.param((), "run 'cifar10'", id="the article's network by default"),
        pytest.param(
            ("CONFIG=fashion_mnist", "DATA=/data/f m"),
            "run 'fashion_mnist' --data '/data/f m'",
            id="another configuration with local data",
        ),
    ],
)
def test_make_train_passes_configuration_and_data(arguments: tuple[str, ...], command: str) -> None:
    assert make("-n", "train", *arguments).rstrip().endswith(f"keraserve-train {command}")


@pytest.mark.parametrize(
    ("arguments", "names", "data"),
    [
        pytest.param((), "cifar10 fashion_mnist", "", id="both models of the repository"),
        pytest.param(("CONFIG=fashion_mnist",), "fashion_mnist", "", id="one of them"),
        pytest.param(
            ("CONFIG=fashion_mnist", "DATA=/data/f m"),
            "fashion_mnist",
            "--data '/data/f m'",
            id="one of them from a local copy",
        ),
        pytest.param(
            ("DATA=/data/cifar.tgz",),
            "cifar10",
            "--data '/data/cifar.tgz'",
            id="a local copy is that of make train",
        ),
    ],
)
def test_make_samples_makes_those_of_both_models_or_of_one(
    arguments: tuple[str, ...], names: str, data: str
) -> None:
    command = make("-n", "samples", *arguments)
    assert f"for name in {names};" in command
    assert f'keraserve-train samples "$name" {data}'.rstrip() in command


def test_make_samples_ends_with_the_code_of_the_first_that_fails(tmp_path: Path) -> None:
    program = tmp_path / "keraserve-train"
    program.write_text('#!/bin/sh\necho "$@"\nexit 3\n', encoding="utf-8")
    program.chmod(0o755)
    instead = ["bootstrap=true", f"bin={tmp_path}"]
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", "samples", *instead],
        env=inherited(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "samples cifar10\n")
    assert "Error 3" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        pytest.param((), "-n 2 --dist loadfile --no-loadscope-reorder", id="all, two at a time"),
        pytest.param(("ARGS=-k name -x",), "-k name -x", id="the chosen ones alone"),
        pytest.param(("WORKERS=1",), "", id="all, one after the other"),
        pytest.param(
            ("ARGS=tests/keras", "WORKERS=4"),
            "-n 4 --dist loadfile --no-loadscope-reorder tests/keras",
            id="the chosen ones, as many as wanted at a time",
        ),
    ],
)
def test_make_test_runs_all_in_parallel_and_the_chosen_ones_as_told(
    arguments: tuple[str, ...], command: str
) -> None:
    words = make("-n", "test", *arguments).splitlines()[-1].split()
    assert words[words.index("pytest") + 1 :] == command.split()


def test_check_is_lint_typecheck_and_test() -> None:
    assert re.search(r"^check: lint typecheck test$", make("-pn", "check"), re.M)
