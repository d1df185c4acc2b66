"""The container engine of this machine, by its command ``docker``; the standard library alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any


class CheckError(Exception):
    """A promise that is not kept; the message says which and what was found instead."""


class NoEngineError(Exception):
    """There is no container engine; the message says what is missing."""


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, flush=True)


def expect(promise: str, *, kept: bool, found: object) -> None:
    """Print a promise that is kept.

    Raises:
        CheckError: It is not.
    """
    if not kept:
        raise CheckError(f"{promise}; found: {found}")
    say(f"  ok  {promise}")


def docker(*words: str, may_fail: bool = False) -> str:
    """Run a command of the engine and return what it prints.

    Raises:
        CheckError: It failed, and may not.
    """
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        raise CheckError(f"docker {words[0]} failed: {done.stderr.strip()}")
    return done.stdout + (done.stderr if words[0] == "logs" else "")


def find_engine() -> str:
    """Return the version of the container engine.

    Raises:
        NoEngineError: There is none, or it does not answer.
    """
    if shutil.which("docker") is None:
        raise NoEngineError(
            "the command docker is not installed. It comes with Docker Engine; nothing else of "
            "this project needs it"
        )
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    version = done.stdout.strip()
    if done.returncode or not version:
        raise NoEngineError(
            "docker is installed, but no engine answers it. Is it running, may this user talk to "
            f"it? It says: {done.stderr.strip() or 'nothing'}"
        )
    return version


def in_image(tag: str, *words: str) -> str:
    """Run a command in place of the server, as root, and return what it prints."""
    once = ("run", "--rm", "--network", "none", "--user", "0", "--entrypoint", words[0])
    return docker(*once, tag, *words[1:])


def size_mb(tag: str) -> float:
    """Return what an image holds, 10⁶ bytes; engines count their own layers differently."""
    return int(in_image(tag, "du", "-sxk", "/").split()[0]) * 1024 / 1e6


def state_of(container: str) -> Mapping[str, Any]:
    """Return what the engine knows of a container."""
    state: Mapping[str, Any] = json.loads(
        docker("inspect", "--format", "{{json .State}}", container)
    )
    return state
