"""The virtual environment: what it was made from, and bringing it to what is wanted now."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.interpreters import BootstrapError, Interpreter, dotted, probe, say

ACCELERATORS = {"cpu", "gpu"}
STATE = "keraserve.json"
LOG = "keraserve-install.log"
LARGE_MB = 10  # a download that takes long enough to be worth a line
DOWNLOAD = re.compile(r"\s*Downloading ([^-\s]+)-([^-\s]+)\S* \(([\d.]+) MB\)")


@dataclasses.dataclass
class State:
    """What an environment was made from; a file inside it.

    Attributes:
        location: Its absolute path, which the scripts in it contain.
        python: Version of its Python, e.g. ``3.11``.
        layers: Lock file name to the SHA-256 of the lock that was installed.
        project: SHA-256 of the pyproject.toml that its console scripts were made from.
        installing: Whether pip was started and has not succeeded.
    """

    location: str
    python: str
    layers: dict[str, str] = dataclasses.field(default_factory=dict)
    project: str = ""
    installing: bool = False


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BootstrapError(f"{path} cannot be read: {error.strerror}") from error


def run_showing_progress(command: list[str], keep: Callable[[str], object]) -> int:
    """Run pip, hand its output to ``keep`` and show a little of it; return its exit code."""
    process = subprocess.Popen(
        command,
        # A `user = true` in somebody's pip.conf is refused inside a virtual environment.
        env={**os.environ, "PIP_USER": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    try:
        show_progress(process.stdout, keep)
        return process.wait()
    except BaseException:
        process.terminate()  # it would go on writing where the next make starts afresh
        process.wait()
        raise


def show_progress(lines: Iterable[str], keep: Callable[[str], object]) -> None:
    """Show large downloads, and on a terminal the number of packages as they come."""
    is_terminal = sys.stdout.isatty()
    clear = "\r\033[K" if is_terminal else ""
    packages = 0
    for line in lines:
        keep(line)
        packages += line.startswith("Collecting ")
        download = DOWNLOAD.match(line)
        if download and float(download[3]) >= LARGE_MB:
            size = f"{float(download[3]):.0f} MB"
            print(f"{clear}    downloading {download[1]} {download[2]}, {size}", flush=True)
        elif is_terminal and line.startswith(("Collecting ", "Installing ")):
            doing = "unpacking" if line.startswith("Installing ") else "collecting"
            print(f"{clear}    {doing} {packages} packages", end="", flush=True)
    print(clear, end="", flush=True)


class Environment:
    """A virtual environment that grows by layers and never counts half done as done.

    While pip works, the state says so. Whoever finds it like that starts afresh, because a package
    that was being unpacked when pip was stopped looks installed.
    """

    def __init__(
        self,
        path: Path,
        root: Path,
        choose: Callable[[], Interpreter],
        run: Callable[[list[str], Callable[[str], object]], int] = run_showing_progress,
    ) -> None:
        """Touch nothing yet.

        Args:
            path: The environment.
            root: The project, with pyproject.toml and requirements/.
            choose: Finds the Python for a new environment.
            run: Runs a pip command, hands its output on and returns its exit code.
        """
        self.path = path
        self.root = root
        self.choose = choose
        self.run = run
        self.python = path / "bin" / "python"

    def bring_to(self, layers: Iterable[str], python: str | None = None) -> None:
        """Install what is missing, after starting afresh if what is there cannot be built upon.

        Args:
            layers: Names of lock files.
            python: The interpreter the user insists on.

        Raises:
            BootstrapError: It could not be done; what is left will not count as done.
        """
        wanted = {layer: fingerprint(self.lock(layer)) for layer in layers}
        state = self.read_state()
        reason = self.reason_to_rebuild(state, wanted, python)
        if state is None or reason is not None:
            state = self.create(reason or "")
        for layer, lock in wanted.items():
            if state.layers.get(layer) != lock:
                say(f"installing requirements/{layer}.txt")
                self.pip(state, ["--require-hashes", "--requirement", str(self.lock(layer))])
                state.layers[layer] = lock
                self.write_state(state)
        project = fingerprint(self.root / "pyproject.toml")
        if state.project != project:
            # Makes the console scripts; what it builds with came from the locks.
            editable = ["--no-deps", "--no-build-isolation", "--editable", str(self.root)]
            self.pip(state, ["--no-index", *editable])
            state.project = project
            self.write_state(state)

    def lock(self, layer: str) -> Path:
        """Return the path of a lock file."""
        return self.root / "requirements" / f"{layer}.txt"

    def reason_to_rebuild(
        self, state: State | None, wanted: dict[str, str], python: str | None
    ) -> str | None:
        """Return why the environment has to be made afresh; None if it can be built upon."""
        if state is None:
            return "what is there is incomplete" if self.path.exists() else ""
        if state.location != str(self.path):
            return "it was moved"
        own = probe(str(self.python))
        if own is None or dotted(own.version) != state.python:
            return "its Python is gone"
        wish = probe(python) if python else None
        if wish is not None and wish.version != own.version:
            return f"PYTHON={python} has another version"
        changed = [layer for layer, lock in wanted.items() if state.layers.get(layer, lock) != lock]
        if changed:
            return f"requirements/{changed[0]}.txt changed"
        others = ACCELERATORS & set(state.layers) - set(wanted)
        if others and ACCELERATORS & set(wanted):
            # Two builds of TensorFlow would overwrite each other's files.
            return f"it was made for ACCELERATOR={others.pop()}"
        return None

    def create(self, reason: str) -> State:
        """Make an empty environment in place of what is there."""
        python = self.choose()
        say(f"making {self.path.name} with {python}" + (f" again: {reason}" if reason else ""))
        command = [python.path, "-m", "venv", "--clear", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BootstrapError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return State(location=str(self.path), python=dotted(python.version))

    def pip(self, state: State, arguments: list[str]) -> None:
        """Run ``pip install`` with the state saying that it runs."""
        self.write_state(dataclasses.replace(state, installing=True))
        command = [str(self.python), "-I", "-m", "pip", "install", "--disable-pip-version-check"]
        command += ["--progress-bar", "off", *arguments]
        log = self.path / LOG
        with log.open("w", encoding="utf-8") as file:
            code = self.run(command, file.write)
        if code != 0:
            tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-15:])
            raise BootstrapError(f"pip failed; {log} ends with:\n{tail}")

    def read_state(self) -> State | None:
        """Return the state of a complete environment; None for any other."""
        try:
            state = State(**json.loads((self.path / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return None if state.installing else state

    def write_state(self, state: State) -> None:
        """Replace the record in one step."""
        draft = self.path / f"{STATE}.new"
        draft.write_text(json.dumps(dataclasses.asdict(state), indent=2), encoding="utf-8")
        draft.replace(self.path / STATE)
