"""One candidate in a process of its own, seen from outside.

How many threads TensorFlow has is a state of the whole process, and an engine may hang or take its
process with it: neither may end the measurement of the others.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from app.tuning.records import Candidate, CandidateError, RefusedError

_ROOT = Path(__file__).resolve().parents[2]
"""Where the package ``app`` is, which the other process must find, too."""

_KILL_S = 5.0
"""For a killed process to be gone: the system does it at once unless it waits for a device."""

WORKER = ("-m", "app.tuning.worker")


class MeasuringProcess:
    """A process that executes batches as it is told.

    Bound: no method waits longer than it is told, plus ``_KILL_S`` where it must be killed.
    Failure: what raises ``CandidateError`` has killed the process; it measures nothing afterwards.
    End: it is in a session of its own, so a terminal's Ctrl-C does not reach it; it ends by
    ``close()``, or by itself when this process is gone.
    """

    def __init__(
        self,
        folder: Path,
        candidate: Candidate,
        batch_sizes: Sequence[int],
        timeout_s: float,
        worker: Sequence[str] = WORKER,
    ) -> None:
        """Start it and wait until it has loaded, warmed up and tested the version.

        Args:
            folder: Of a verified version.
            candidate: What executes it.
            batch_sizes: What it should take, ascending, images.
            timeout_s: How long that may take, s.
            worker: What Python runs; the number of the connection's descriptor is put behind.

        Raises:
            RefusedError: The version cannot be loaded, or fails its self-test.
            CandidateError: It died, or was not ready in time.
        """
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._connection, inner = Pipe()
        # -P: a folder `app` where the command was called is somebody else's.
        command = [sys.executable, "-P", *worker, str(inner.fileno())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[inner.fileno()],
            env=_environment(),
            start_new_session=True,
        )
        inner.close()  # so that its death ends our reading
        job = {
            "folder": str(folder.resolve()),
            "engine": candidate.engine,
            "precision": candidate.precision,
            "threads": candidate.threads,
            "batch_sizes": list(batch_sizes),
        }
        try:
            ready = self._ask(job, timeout_s, "was not ready")
            if "error" in ready:
                raise RefusedError(ready["error"])
        except BaseException:  # Ctrl-C, too: nobody else knows of the process yet
            self.close()
            raise
        self.batch_sizes: Sequence[int] = ready["batch_sizes"]
        self.shared_from: int = ready["shared_from"]
        self.memory_bytes: int = ready["memory_bytes"]

    def measure(self, batch_size: int, seconds: float, timeout_s: float) -> Sequence[float]:
        """Execute batches for ``seconds``, at least one; return how long each took, s.

        Raises:
            CandidateError: It failed, died, or did not answer within ``timeout_s``.
        """
        order = {"batch_size": batch_size, "seconds": seconds}
        answer = self._ask(order, timeout_s, f"at batch size {batch_size}: no answer")
        if "error" in answer:
            raise CandidateError(answer["error"])
        self.memory_bytes = answer["memory_bytes"]
        durations: list[float] = answer["durations_s"]
        return durations

    def close(self) -> None:
        """Kill it and wait until it is gone. Calls after this one do nothing."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_S)
        self._connection.close()
        self._log.close()

    def _ask(self, message: Any, timeout_s: float, late: str) -> Any:
        try:
            self._connection.send_bytes(json.dumps(message).encode())
            if not self._connection.poll(timeout_s):
                raise CandidateError(f"{late} within {timeout_s:.0f} s")
            return json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError):
            raise CandidateError(self._cause_of_death()) from None

    def _cause_of_death(self) -> str:
        try:
            code = self._process.wait(_KILL_S)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        if code == -signal.SIGKILL:
            told = "was killed, perhaps for want of memory"
        elif code < 0:
            told = f"died of {signal.Signals(-code).name}"
        else:
            told = f"ended with exit code {code}"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"{told}: {lines[-1][:200]}" if lines else told


def _environment() -> dict[str, str]:
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    }
