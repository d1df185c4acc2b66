"""The server as a process of its own: ready, SIGTERM under load, exit code."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.keras.server_process import ROOT, Server, serving

PICTURE = (ROOT / "docs" / "images" / "ship.png").read_bytes()

pytestmark = pytest.mark.keras


@pytest.fixture
def server() -> Iterator[Server]:
    with serving("--models", "fashion_mnist", "--default-model", "fashion_mnist") as server:
        yield server


def classify(url: str) -> int:
    request = urllib.request.Request(url, data=PICTURE, headers={"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return int(response.status)


def test_sigterm_answers_what_was_accepted_and_ends_with_0(
    server: Server,
) -> None:
    url = f"{server.url}/v1/classify"
    server.wait_for("ready")
    with ThreadPoolExecutor(16) as clients:
        first = [clients.submit(classify, url) for _ in range(64)]
        server.wait_for("request")  # some are answered, others on their way
        server.process.send_signal(signal.SIGTERM)
        outcomes = [future.exception() or future.result() for future in first]
        drained = server.wait_for("drained")
    assert server.process.wait(30) == 0
    assert drained["images_cut_off"] == 0
    # What was accepted got 200; what came later was refused, by a 503 or by a closed listener.
    assert outcomes.count(200) >= 1
    for outcome in outcomes:
        assert outcome == 200 or isinstance(outcome, OSError), outcome
        if isinstance(outcome, urllib.error.HTTPError):
            assert outcome.code == 503


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_no_thread_interrupts_another_one(server: Server) -> None:
    """Neither the event loop nor those that execute and decode, whoever has started them."""
    server.wait_for("ready")
    assert classify(f"{server.url}/v1/classify") == 200
    tasks = [int(task.name) for task in Path(f"/proc/{server.process.pid}/task").iterdir()]
    assert len(tasks) > 2
    assert {os.sched_getscheduler(task) for task in tasks} == {os.SCHED_BATCH}


def test_both_ports_are_listened_at_with_tls(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.write(certificate, key, "mine")
    flags = ["--models", "fashion_mnist", "--default-model", "fashion_mnist", "--admin-port", "0",
             "--tls-certificate-file", str(certificate), "--tls-key-file", str(key)]  # fmt: skip
    with serving(*flags) as server:
        first = server.wait_for("listening")["url"]
        second = server.wait_for("listening for administration")["url"]
        server.wait_for("ready")
        assert first.startswith("https://127.0.0.1:")
        statuses = []
        for url in (first, second):
            try:
                context = authority.client_context()
                with urllib.request.urlopen(f"{url}/metrics", timeout=30, context=context) as found:
                    statuses.append(found.status)
                    assert "max-age=31536000" in found.headers["strict-transport-security"]
            except urllib.error.HTTPError as error:
                statuses.append(error.code)
        assert statuses == [404, 200]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0


def test_address_in_use_is_a_clear_error(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    second = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port} (KERASERVE_HOST, KERASERVE_PORT)" in second.stderr
