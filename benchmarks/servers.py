"""A server as its processes: started, waited for, paused, stopped, and its log kept."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from benchmarks import process_tree

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
_PROBE_INTERVAL_S = 0.05
_STOP_TIMEOUT_S = 20.0
_LEFTOVER_TIMEOUT_S = 3.0
_LOG_TAIL_LINES = 25


class BenchmarkError(Exception):
    """The comparison cannot go on; the message says why, for the person at the terminal.

    Attributes:
        reason: The same for others: without what only this machine's user can look up.
    """

    def __init__(self, reason: str, details: str = "") -> None:
        """Say ``reason``, and at the terminal ``details`` right behind it: logs, tracebacks."""
        super().__init__(reason + details)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """How to start a server and where it answers.

    Attributes:
        name: Column title in the report.
        command: Arguments after the Python interpreter; ``{port}`` is filled in.
        target: Path of the route that takes the part ``file``.
        ready_path: Answers 200 once requests can be sent.
        environment: Added to this process's own, without its ``KERASERVE_`` variables.
        metrics_path: Where Prometheus metrics are, if the server has any.
        python: Interpreter of the environment that it runs in.
    """

    name: str
    command: tuple[str, ...]
    target: str
    ready_path: str
    environment: dict[str, str] = field(default_factory=dict)
    metrics_path: str | None = None
    python: str = sys.executable


class ServerProcess:
    """One running server, in a session of its own so that Ctrl-C reaches only the benchmark.

    All its processes carry a mark, by which they are found, paused and, if they do not go
    themselves, killed.
    """

    def __init__(self, spec: ServerSpec, folder: Path) -> None:
        """Prepare; entering the context starts it.

        Args:
            spec: What to start.
            folder: Where the log is written and the server's working directory is; no ``.env``
                file lies there, so that both servers run as described and nothing else.
        """
        self.spec = spec
        self.port = free_port()
        self._folder = folder
        self._mark = uuid.uuid4().hex
        self.log_path = folder / f"{spec.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the process; ``wait_ready`` says when it can be used."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = self.log_path.open("wb")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("KERASERVE_")}
        search_path = os.pathsep.join(filter(None, (str(ROOT), inherited.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [self.spec.python, *(part.format(port=self.port) for part in self.spec.command)],
            cwd=self._folder,
            env=inherited
            | {"PYTHONPATH": search_path, process_tree.MARK: self._mark}
            | {k: v.format(port=self.port) for k, v in self.spec.environment.items()},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it: asked first, killed when it does not go."""
        try:
            self._stop()
        finally:
            if self._log is not None:
                self._log.close()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return process_tree.marked(self._mark)

    def url(self, path: str) -> str:
        """Return the address of ``path`` on this server."""
        return f"http://{HOST}:{self.port}{path}"

    def check_alive(self) -> None:
        """Raise ``BenchmarkError`` with the end of the log if the process has ended."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            raise BenchmarkError(f"{self.spec.name} ended with code {code}.", self.log_tail())

    def wait_ready(self, timeout_s: float) -> None:
        """Return as soon as the server says that it is ready.

        Raises:
            BenchmarkError: It ended, or was not ready in time.
        """
        until = time.monotonic() + timeout_s
        reason = "no answer"
        while time.monotonic() < until:
            self.check_alive()
            try:
                with urllib.request.urlopen(self.url(self.spec.ready_path), timeout=2):
                    return
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.read()[:300].decode(errors='replace')}"
            except OSError as error:
                reason = str(error)
            time.sleep(_PROBE_INTERVAL_S)
        raise BenchmarkError(
            f"{self.spec.name} was not ready after {timeout_s:g} s; {self.spec.ready_path} last "
            f"said: {reason}.",
            self.log_tail(),
        )

    def get(self, path: str) -> bytes:
        """Return the body of a ``GET``."""
        with urllib.request.urlopen(self.url(path), timeout=10) as response:
            body: bytes = response.read()
        return body

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop every thread of it for a while: what stands still takes nothing from the other."""
        self.check_alive()
        pids = self.pids
        process_tree.send(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            process_tree.send(pids, signal.SIGCONT)

    def end(self, number: signal.Signals) -> int:
        """Send a signal to the main process, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(
                f"{self.spec.name} did not stop within {_STOP_TIMEOUT_S:g} s.", self.log_tail()
            ) from None

    def _stop(self) -> None:
        try:
            self._stop_main()
        finally:
            # What a server forgot, or could not stop any more because it was killed itself.
            left = process_tree.wait_for_end(self._mark, _LEFTOVER_TIMEOUT_S)
            process_tree.send(left, signal.SIGKILL)

    def _stop_main(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process_tree.send(self.pids, signal.SIGCONT)  # a paused process takes no SIGTERM
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except BaseException as error:  # a second Ctrl-C too: nothing may be left behind
            process.kill()
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            print(f"{self.spec.name} did not stop within {_STOP_TIMEOUT_S:g} s and was killed.")

    def log_tail(self) -> str:
        """Return where its log is and how it ends, as details of a ``BenchmarkError``."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        if not lines:
            return f" Its log {self.log_path} is empty."
        return f" The end of its log {self.log_path}:\n  " + "\n  ".join(lines)


def free_port() -> int:
    """Return a TCP port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port
