"""An environment for each peer, made from its pins and kept until they change."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.servers import ROOT

PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / "data" / "bench" / "peers"
SYSTEM_PYTHON = Path("/usr/bin/python3.11")
_STATE = "installed.sha256"
_LOG = "install.log"
_LOG_TAIL_LINES = 6


class PeerUnavailableError(Exception):
    """A peer cannot be installed here; the message is the reason for the report."""


def pins(name: str) -> Path:
    """Return the lock file of a peer."""
    return PEERS / name / "requirements.txt"


def pinned_versions(name: str, packages: tuple[str, ...]) -> list[str]:
    """Return ``package version`` as the lock file has them, in its order."""
    found = []
    for line in pins(name).read_text(encoding="utf-8").splitlines():
        package, equals, rest = line.partition("==")
        if equals and package.partition("[")[0] in packages:
            found.append(f"{package} {rest.split()[0]}")
    return found


def interpreter(name: str) -> Path:
    """Return the Python that the environment is made with.

    Raises:
        PeerUnavailableError: There is no fitting one.
    """
    if name != "triton":
        return Path(getattr(sys, "_base_executable", None) or sys.executable)
    if not SYSTEM_PYTHON.exists():
        raise PeerUnavailableError(
            f"Triton's Python backend needs the system's own {SYSTEM_PYTHON}, which is not here"
        )
    return SYSTEM_PYTHON


def ensure_environment(name: str, tell: Callable[[str], None]) -> Path:
    """Return the Python of a peer's environment, installed now if its pins are not.

    Packages come from wherever pip is configured to look.

    Raises:
        PeerUnavailableError: It could not be installed.
    """
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    wanted = hashlib.sha256(pins(name).read_bytes()).hexdigest()
    state = folder / _STATE
    if python.exists() and state.is_file() and state.read_text(encoding="ascii") == wanted:
        return python
    base = interpreter(name)
    tell(f"{name}: installing {pins(name).relative_to(ROOT)} with {base}; this takes minutes")
    run([str(base), "-m", "venv", "--clear", str(folder)], name)
    install = ["-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    run([str(python), *install, "--require-hashes", "--requirement", str(pins(name))], name)
    state.write_text(wanted, encoding="ascii")
    return python


def run(command: list[str], name: str) -> None:
    """Run a step of an installation, its output in a log beside the environment.

    Raises:
        PeerUnavailableError: It failed; with the end of the log.
    """
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    log = ENVIRONMENTS / f"{name}.{_LOG}"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        tail = " / ".join(log.read_text(encoding="utf-8").splitlines()[-_LOG_TAIL_LINES:])
        raise PeerUnavailableError(f"its installation failed: {tail}")
