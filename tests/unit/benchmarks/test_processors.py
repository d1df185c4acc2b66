"""Whose CPU time is counted."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.processors import process_cpu_s, process_tree_cpu_s, sum_tree

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}], check=True)
child = subprocess.Popen([sys.executable, "-c", {BURN + "print(flush=True); input()"!r}],
                         stdin=subprocess.PIPE)
input()
child.communicate(b"go")
"""


def test_tree_is_all_that_descend_from_the_root() -> None:
    processes = {1: (0, 1.0), 5: (1, 2.0), 7: (5, 4.0), 6: (7, 8.0), 9: (2, 16.0)}
    assert sum_tree(5, processes) == 14.0
    assert sum_tree(9, processes) == 16.0
    with pytest.raises(ProcessLookupError, match="process 3 is gone"):
        sum_tree(3, processes)


def test_time_of_ended_and_of_running_children_counts() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            parent.stdout.readline()  # of the second child: both have used their time
            assert process_tree_cpu_s(parent.pid) >= process_cpu_s(parent.pid) + 0.5
        finally:
            parent.communicate(b"go\n")


def test_process_that_is_gone_is_named() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    with pytest.raises(ProcessLookupError, match=f"process {process.pid} is gone"):
        process_tree_cpu_s(process.pid)
    assert process_tree_cpu_s(os.getpid()) > 0
