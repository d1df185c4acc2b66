"""What is measured against the peers, and what is said of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import process_tree
from benchmarks.contestants import binary_file, binary_tensor, label_of_json, label_of_tensor
from benchmarks.direct_client import Answer, DirectClient
from benchmarks.entry_list import DEFAULT, HANDWRITTEN, LITSERVE, PEER_NAMES, TENSORFLOW
from benchmarks.must_show import goals
from benchmarks.peer_environments import pinned_versions, pins
from benchmarks.results import results
from benchmarks.servers import ROOT, BenchmarkError, ServerProcess, ServerSpec
from benchmarks.tournament import wait_for_answer
from benchmarks.visits import Tournament, Visit, load_tournament
from tests.unit.benchmarks.test_report import measurement


def visit(contestant: str, round_: int, *, rate: float, p50_ms: float, **more: Any) -> Visit:
    closed = {n: measurement(n, rate, p50_ms) for n in (1, 64)}
    return Visit(
        model="cifar10",
        contestant=contestant,
        round=round_,
        first_answer_s=more.pop("first_answer_s", 2.0),
        agreeing=256,
        pictures=256,
        closed=closed,
        **more,
    )


def tournament() -> Tournament:
    found = Tournament(
        facts=["Machine: a test"],
        commands=dict.fromkeys((DEFAULT, TENSORFLOW, HANDWRITTEN, LITSERVE), "python"),
        failures={"bentoml": "its installation failed"},
        ceiling_per_s=30_000,
    )
    for number, drift in enumerate((1.0, 0.5, 2.0), start=1):
        overload = measurement(0, 1_000 * drift, 50, refused_p99_ms=4.0)
        found.visits += [
            visit(
                DEFAULT,
                number,
                rate=1_200 * drift,
                p50_ms=2,
                bound_per_s=1_500 * drift,
                memory_10k_mib=300.0,
                overhead_ms=0.6,
                idle_cores=0.02 if number == 1 else None,
                open={3.0: overload},
            ),
            visit(TENSORFLOW, number, rate=600 * drift, p50_ms=4),
            visit(HANDWRITTEN, number, rate=400 * drift, p50_ms=9),
            visit(LITSERVE, number, rate=500 * drift, p50_ms=10),
        ]
    return found


def test_goals_are_ratios_against_the_best_peer_within_each_round() -> None:
    throughput, float32, latency, tail, *_ = goals(tournament())

    assert throughput.found.middle == pytest.approx(2.4)
    assert throughput.found.least == throughput.found.most == pytest.approx(2.4)
    assert "litserve" in throughput.remark
    assert float32.found.middle == pytest.approx(1.2)
    assert latency.found.middle == pytest.approx(2 / 9)
    assert "handwritten" in latency.remark
    assert [goal.word for goal in (throughput, float32, latency, tail)] == ["reached"] * 4


def test_goals_of_keraserve_alone_are_reached_missed_or_not_measured() -> None:
    found = goals(tournament())[4:]

    assert [goal.word for goal in found] == [
        "reached",  # 0.8 of the bound
        "**missed**",  # 0.83 of the peak in time
        *("reached", "reached", "reached"),
        "**missed**",  # idling at 2 % of a core
        "reached",
    ]
    alone = tournament()
    alone.visits = [v for v in alone.visits if v.contestant not in PEER_NAMES]
    assert {goal.word for goal in goals(alone)[:4]} == {"not measured"}


def test_a_tournament_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    tournament().save(path)

    assert repr(load_tournament(path)) == repr(tournament())  # nan is not equal to itself


def test_the_page_has_goals_every_contestant_and_who_was_left_out() -> None:
    found = tournament()
    found.visits[-1].broke = "it ended\nwith code 1"
    page = results(found, {"plots/throughput-cifar10.png": "images"}, "## Why\n")

    assert "| ≥ 2 × | 2.40 (2.40 to 2.40) × | reached |" in page
    assert "![images](plots/throughput-cifar10.png)" in page
    assert "- bentoml: its installation failed" in page
    assert "| handwritten | 9.00 (9.00 to 9.00) | 9.00 (9.00 to 9.00) |" in page
    assert "- litserve, CIFAR-10, round 3: open loops above 0 × its capacity: it ended with" in page
    assert "## Why" in page


def server_process(folder: Path, sleeps_s: float) -> ServerProcess:
    code = f"import time; print('secret', flush=True); time.sleep({sleeps_s})"
    return ServerProcess(ServerSpec("broken", ("-c", code), "/", "/ready"), folder)


def test_what_the_page_says_of_a_failure_is_not_where_its_log_lies(tmp_path: Path) -> None:
    with server_process(tmp_path, 0) as server, pytest.raises(BenchmarkError) as ended:
        server.wait_ready(20)
    with server_process(tmp_path, 60) as server, pytest.raises(BenchmarkError) as silent:
        wait_for_answer(server, b"GET / HTTP/1.1\r\n\r\n", 0.5)
    assert ended.value.reason == "broken ended with code 0."
    assert silent.value.reason.startswith("broken classified nothing within 0.5 s; last: ")
    for error in (ended.value, silent.value):
        assert "log" not in error.reason
        assert str(tmp_path) not in error.reason
        assert str(server.log_path) in str(error)
    assert "secret" in str(ended.value)


@pytest.mark.parametrize("name", ["RESULTS.md", "results.json"])
def test_what_is_published_names_no_file_of_a_machine(name: str) -> None:
    text = (ROOT / "benchmarks" / name).read_text()
    assert (
        re.findall(r"(?<![\w.)/])/(?:work|home|root|tmp|opt|usr|var|dev|Users)/[^ \"]*", text) == []
    )


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1)], ids=["colour", "grey"])
def test_a_binary_tensor_request_holds_the_pixels(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.int64).astype(np.uint8).reshape(shape)
    file = tmp_path / "0.png"
    Image.fromarray(pixels.squeeze()).save(file)

    head, _, body = binary_tensor(shape)(file).partition(b"\r\n\r\n")

    length = int(head.split(b"Inference-Header-Content-Length: ")[1].split(b"\r\n")[0])
    assert f"Content-Length: {len(body)}".encode() in head
    (tensor,) = json.loads(body[:length])["inputs"]
    assert tensor["shape"] == [1, *shape]
    assert body[length:] == pixels.tobytes()


def test_a_binary_file_request_holds_the_file_after_its_length(tmp_path: Path) -> None:
    file = tmp_path / "0.png"
    file.write_bytes(b"not really a picture")

    assert binary_file(file).endswith(struct.pack("<I", 20) + b"not really a picture")


def test_labels_are_read_from_every_kind_of_answer() -> None:
    one = {"predictions": [{"label": "ship", "score": 0.9}]}
    scores = np.array([0.1, 0.7, 0.2], "<f4").tobytes()

    assert label_of_json(json.dumps(one).encode(), []) == "ship"
    assert label_of_json(json.dumps([one]).encode(), []) == "ship"
    assert label_of_tensor(b'{"outputs":[]}' + scores, ["a", "b", "c"]) == "b"


@pytest.fixture
def answering() -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers what it is given, one answer for each request."""
    answers: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while connection.recv(65_536):
                    connection.sendall(answers.pop(0))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], answers
        thread.join(5)


def test_the_direct_client_reads_lengths_and_chunks(
    answering: tuple[int, list[bytes]],
) -> None:
    port, answers = answering
    answers += [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nbus\r\n1\r\ny\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ]
    with DirectClient("127.0.0.1", port) as client:
        assert client.ask(b"?") == Answer(200, b"hello")
        assert client.ask(b"?") == Answer(503, b"busy")
        assert client.ask(b"?") == Answer(204, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_left_its_parent_and_its_session_is_still_found_and_ended() -> None:
    mark = f"test-{os.getpid()}"
    script = (
        "import signal, subprocess, sys\n"
        "code = 'import signal; print(1, flush=True); signal.pause()'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE,"
        " start_new_session=True)\n"
        "child.stdout.readline(); print(child.pid, flush=True); signal.pause()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, process_tree.MARK: mark},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout is not None
        with parent.stdout as output:
            child = int(output.readline())
        assert process_tree.marked(mark) == sorted([parent.pid, child])
        assert process_tree.memory_mib([parent.pid, child]) > 1
        parent.kill()
        parent.wait()
        assert process_tree.marked(mark) == [child]
    finally:
        process_tree.send(process_tree.marked(mark), signal.SIGKILL)
        parent.wait()
    assert process_tree.wait_for_end(mark, 10) == []


@pytest.mark.parametrize("name", ["litserve", "bentoml", "ray_serve", "triton"])
def test_every_peer_is_pinned_with_hashes_and_no_address(name: str) -> None:
    text = pins(name).read_text(encoding="utf-8")

    assert pinned_versions(name, ("tensorflow-cpu",)) == ["tensorflow-cpu 2.21.0"]
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert (pins(name).parent / "README.md").is_file()
