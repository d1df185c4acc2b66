"""The number of threads of an execution, which is a state of the whole process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.keras.server_process import ROOT

pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc"),
    pytest.mark.skipif(os.cpu_count() == 1, reason="OpenVINO takes no more threads than cores"),
]

_SCRIPT = """
import sys
from pathlib import Path
from app.artifacts.manifest import read_manifest
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy

folder = max(Path("models/fashion_mnist").glob("[0-9]*"), key=lambda path: int(path.name))
policy = EnginePolicy(sys.argv[1], "float32", (1, 32), threads=int(sys.argv[2]))
load_servable(folder, read_manifest(folder), policy).warm_up()
print("threads", len(list(Path("/proc/self/task").iterdir())))
"""


def threads_of_process(engine: str, threads: int) -> int:
    process = subprocess.run(
        [sys.executable, "-c", _SCRIPT, engine, str(threads)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(process.stdout.split()[-1])


# TensorFlow from two on: with one it has no streams, whose sessions have threads as well.
@pytest.mark.parametrize(("engine", "least"), [("openvino", 1), ("tensorflow", 2)])
def test_an_execution_takes_as_many_threads_as_it_is_told(engine: str, least: int) -> None:
    assert threads_of_process(engine, least + 1) - threads_of_process(engine, least) == 1
