"""The server as a process of its own: ready, SIGTERM under load, exit code."""

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

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
