"""A candidate in a process of its own, which does what candidates should not do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.tuning.measuring_process import MeasuringProcess
from app.tuning.records import CandidateError, RefusedError
from tests.unit.tuning.curves import OV16

_BEGIN = """
import json, os, signal, sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
job = json.loads(connection.recv_bytes())
def send(message): connection.send_bytes(json.dumps(message).encode())
"""
_READY = (
    "send({'batch_sizes': job['batch_sizes'], 'shared_from': 16, 'memory_bytes': os.getpid()})\n"
)
_ORDER = "order = json.loads(connection.recv_bytes())\n"
_HANG = "signal.pause()\n"


def start(script: str, timeout_s: float = 30.0) -> MeasuringProcess:
    return MeasuringProcess(Path(), OV16, (1, 8), timeout_s, ("-c", _BEGIN + script))


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_batches_are_executed_as_they_are_ordered() -> None:
    script = (
        _READY
        + _ORDER
        + "send({'durations_s': [order['batch_size'], order['seconds']], 'memory_bytes': 7})\n"
        + _HANG
    )
    process = start(script)
    pid = process.memory_bytes

    assert process.batch_sizes == [1, 8]
    assert process.shared_from == 16
    assert process.measure(8, 0.5, 30) == [8, 0.5]
    assert process.memory_bytes == 7
    process.close()
    assert has_ended(pid)
    process.close()


def test_a_refusal_is_told_as_one() -> None:
    with pytest.raises(RefusedError, match=r"^self-test: NaN$"):
        start("send({'error': 'self-test: NaN'})")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("sys.exit(3)", "^ended with exit code 3$", id="exits"),
        pytest.param(
            "print('no such device', file=sys.stderr); sys.exit(3)",
            "^ended with exit code 3: no such device$",
            id="says something first",
        ),
        pytest.param("os.abort()", "^died of SIGABRT", id="crashes"),
        pytest.param(
            "os.kill(os.getpid(), 9)", "^was killed, perhaps for want of memory", id="killed"
        ),
    ],
)
def test_death_while_loading_is_told(script: str, message: str) -> None:
    with pytest.raises(CandidateError, match=message):
        start(script)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("send({'error': 'no memory'})", "^no memory$", id="tells why"),
        pytest.param("os.kill(os.getpid(), signal.SIGSEGV)", "^died of SIGSEGV", id="crashes"),
    ],
)
def test_death_while_measuring_is_told(script: str, message: str) -> None:
    process = start(_READY + _ORDER + script)
    pid = process.memory_bytes

    with pytest.raises(CandidateError, match=message):
        process.measure(8, 0.1, 30)

    process.close()
    assert has_ended(pid)


def test_who_is_not_ready_in_time_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    script = f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n{_HANG}"
    reader = os.open(pid_file, os.O_RDONLY | os.O_NONBLOCK)

    with pytest.raises(CandidateError, match=r"^was not ready within 2 s$"):
        start(script, 2)

    pid = os.read(reader, 100)
    os.close(reader)
    assert not pid or has_ended(int(pid))


def test_who_does_not_answer_in_time_is_told_and_can_be_killed() -> None:
    process = start(_READY + _HANG)
    pid = process.memory_bytes

    with pytest.raises(CandidateError, match=r"^at batch size 8: no answer within 0 s$"):
        process.measure(8, 0.1, 0.01)

    assert not has_ended(pid)
    process.close()
    assert has_ended(pid)


def test_ctrl_c_of_the_terminal_does_not_reach_it() -> None:
    process = start(_READY + _HANG)

    assert os.getsid(process.memory_bytes) != os.getsid(0)
    process.close()
