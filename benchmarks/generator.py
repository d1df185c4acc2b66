"""The load generator as a process of its own: started, waited for, its figures read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.load.measurement import Measurement
from benchmarks.servers import ROOT, BenchmarkError, ServerProcess

_SPARE_S = 60.0


def generate_load(
    server: ServerProcess, pictures: Path, clients: int, *, seconds: float, warm_up_s: float
) -> Measurement:
    """Upload pictures in a closed loop.

    Raises:
        BenchmarkError: It failed, usually because the server is gone.
    """
    arguments = ["--pictures", str(pictures), "--clients", str(clients)]
    return run_generator(server, server.spec.target, arguments, seconds, warm_up_s)


def run_generator(
    server: ServerProcess, target: str, arguments: list[str], seconds: float, warm_up_s: float
) -> Measurement:
    """Run the load generator.

    Args:
        server: Who is loaded.
        target: Path and query of the requests, where the generator makes them.
        arguments: What is sent and how often, in the generator's own words.
        seconds: Length of the window.
        warm_up_s: Of the same load before it.

    Raises:
        BenchmarkError: It failed, usually because the server is gone.
    """
    command = [sys.executable, "-m", "benchmarks.load"]
    command += ["--port", str(server.port), "--target", target, *arguments]
    command += ["--seconds", str(seconds), "--warm-up-s", str(warm_up_s)]
    command += ["--server-pid", str(server.pid)]
    try:
        result = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds + warm_up_s + _SPARE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        server.check_alive()
        raise BenchmarkError(f"the load on {server.spec.name} did not end in time") from error
    if result.returncode != 0:
        server.check_alive()
        tail = "\n  ".join(result.stderr.splitlines()[-10:])
        raise BenchmarkError(f"the load generator failed on {server.spec.name}", f":\n  {tail}")
    return Measurement(**json.loads(result.stdout))
