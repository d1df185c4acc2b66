"""Which Python the environment is made with, and the ``venv`` module that Debian splits off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

OLDEST = (3, 11)
# TensorFlow 2.21 has no wheel for 3.14. Raise this when the locked version has one.
NEWEST = (3, 13)

# Of an interpreter that belongs to a virtual environment, _base_executable is the one it was
# made with: `make` may run inside the very environment that is about to be rebuilt.
PROBE = """
import importlib.util, json, sys
print(json.dumps({
    "path": getattr(sys, "_base_executable", None) or sys.executable,
    "version": sys.version_info[:2],
    "has_venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "prefix": sys.base_prefix,
}))
"""


class BootstrapError(Exception):
    """The environment cannot be made; the message says what to do."""


def say(message: str) -> None:
    """Tell the user what takes time."""
    print(f"==> {message}", flush=True)


@dataclass(frozen=True)
class Interpreter:
    """A Python found on this machine.

    Attributes:
        path: Its executable, outside any virtual environment.
        version: Major and minor version.
        has_venv: Whether it can make an environment with pip in it.
        prefix: Where it is installed; Debian's own lies in /usr.
    """

    path: str
    version: tuple[int, int]
    has_venv: bool
    prefix: str

    @property
    def is_supported(self) -> bool:
        """Whether every locked package has a wheel for it."""
        return OLDEST <= self.version <= NEWEST

    def __str__(self) -> str:
        """Return the path with the version."""
        return f"{self.path} ({dotted(self.version)})"


def dotted(version: tuple[int, int]) -> str:
    """Return ``3.11``."""
    return f"{version[0]}.{version[1]}"


def probe(command: str) -> Interpreter | None:
    """Ask an interpreter about itself; None if it does not run, like pyenv's idle shims."""
    try:
        done = subprocess.run(
            [command, "-I", "-c", PROBE], capture_output=True, text=True, timeout=60, check=False
        )
        facts = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    facts["version"] = tuple(facts["version"])
    return Interpreter(**facts)


def found() -> list[Interpreter]:
    """Return the interpreters of this machine, the system's default first, then newest first."""
    names = [f"python3.{minor}" for minor in range(NEWEST[1] + 1, OLDEST[1] - 1, -1)]
    commands = [sys.executable, *filter(None, map(shutil.which, names))]
    return list(dict.fromkeys(filter(None, map(probe, commands))))


def select(interpreters: Iterable[Interpreter]) -> Interpreter:
    """Return the first that is supported, preferring those that can make an environment.

    Raises:
        BootstrapError: None is supported.
    """
    candidates = list(interpreters)
    supported = [python for python in candidates if python.is_supported]
    if not supported:
        seen = ", ".join(map(str, candidates)) or "no other"
        raise BootstrapError(
            f"Keraserve needs Python {dotted(OLDEST)} to {dotted(NEWEST)}, because TensorFlow has "
            f"builds for these; this machine has {seen}.\n"
            f"Install one, for instance python{dotted(NEWEST)}, or name it: PYTHON=/path/to/python"
        )
    return next((python for python in supported if python.has_venv), supported[0])


def choose_interpreter(wish: str | None) -> Interpreter:
    """Return the Python to make the environment with.

    Args:
        wish: A command that the user insists on; None to search.

    Raises:
        BootstrapError: There is none that can be used.
    """
    interpreters = found() if wish is None else list(filter(None, [probe(wish)]))
    if wish is not None and not interpreters:
        raise BootstrapError(f"PYTHON={wish} does not run")
    python = select(interpreters)
    if not python.has_venv:
        install_venv_module(python)
    return python


def install_venv_module(python: Interpreter) -> None:
    """Install what Debian and Ubuntu leave out of their Python, where that needs no password."""
    package = f"python{dotted(python.version)}-venv"
    is_debian = python.prefix == "/usr" and shutil.which("apt-get") is not None
    advice = f"sudo apt-get install {package}" if is_debian else "install Python with venv and pip"
    as_root = root_prefix()
    if not is_debian or as_root is None:
        raise BootstrapError(f"{python} cannot make virtual environments. First: {advice}")
    say(f"{python} lacks the module venv: installing the system package {package}")
    install = [*as_root, "apt-get", "install", "--yes", "--no-install-recommends", package]
    if not succeeds(install):  # a fresh machine has no package lists yet
        succeeds([*as_root, "apt-get", "update"])
        if not succeeds(install):
            raise BootstrapError(f"{package} could not be installed. First: {advice}")


def root_prefix() -> list[str] | None:
    """Return what to put before a command to run it as root without a password; None if nothing."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and succeeds(["sudo", "--non-interactive", "true"]):
        return ["sudo", "--non-interactive"]
    return None


def succeeds(command: list[str]) -> bool:
    """Run a command quietly."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return (
        subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    )
