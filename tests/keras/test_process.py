"""The server as a process of its own: ready, SIGTERM under load, exit code."""

import json
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

ROOT = Path(__file__).parents[2]
PICTURE = (ROOT / "docs" / "images" / "ship.png").read_bytes()

pytestmark = pytest.mark.keras


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--log-format", "json"]
    environment = {key: value for key, value in os.environ.items() if "KERASERVE" not in key}
    process = subprocess.Popen(
        [*command, "--models", "fashion_mnist", "--default-model", "fashion_mnist"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def wait_for(process: subprocess.Popen[str], message: str) -> dict[str, object]:
    """Read the log up to a message and return its line."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{") and (fields := json.loads(line))["message"] == message:
            assert isinstance(fields, dict)
            return fields
    raise AssertionError(f"the server ended without saying {message!r}")


def classify(url: str) -> int:
    request = urllib.request.Request(url, data=PICTURE, headers={"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return int(response.status)


def test_sigterm_answers_what_was_accepted_and_ends_with_0(
    server: subprocess.Popen[str],
) -> None:
    url = f"{wait_for(server, 'listening')['url']}/v1/classify"
    wait_for(server, "ready")
    with ThreadPoolExecutor(16) as clients:
        first = [clients.submit(classify, url) for _ in range(64)]
        wait_for(server, "request")  # some are answered, others on their way
        server.send_signal(signal.SIGTERM)
        outcomes = [future.exception() or future.result() for future in first]
        drained = wait_for(server, "drained")
    assert server.wait(30) == 0
    assert drained["images_cut_off"] == 0
    # What was accepted got 200; what came later was refused, by a 503 or by a closed listener.
    assert outcomes.count(200) >= 1
    for outcome in outcomes:
        assert outcome == 200 or isinstance(outcome, OSError), outcome
        if isinstance(outcome, urllib.error.HTTPError):
            assert outcome.code == 503


def test_address_in_use_is_a_clear_error(server: subprocess.Popen[str]) -> None:
    url = str(wait_for(server, "listening")["url"])
    port = url.rpartition(":")[2]
    second = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port} (KERASERVE_HOST, KERASERVE_PORT)" in second.stderr
