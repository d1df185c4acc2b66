"""The main job, as a user does it: `make serve`, classify a picture, stop; any doubt is an error.

Linux only: the server is found as a child of make in /proc.

    .venv/bin/python .ci/main_job.py docs/images/ship.png ship
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READY_WITHIN_S = 180  # TensorFlow's import, loading and warm-up on two busy cores
STOPPED_WITHIN_S = 40  # more than KERASERVE_SHUTDOWN_TIMEOUT_S
ANSWER_WITHIN_S = 30

# A proxy of the machine's has no business between here and here.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class JobError(Exception):
    """The service did not do what it promises."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, body: bytes | None = None) -> tuple[int, str]:
    """Return status and text of a GET, or of a POST of a PNG."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "image/png"})
    try:
        with HTTP.open(request, timeout=ANSWER_WITHIN_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def expect_ok(url: str, body: bytes | None = None) -> str:
    """Return the text of an answer that must be 200."""
    status, text = fetch(url, body)
    if status != 200:
        raise JobError(f"{url} answered {status}: {text[:500]}")
    return text


def wait_until_ready(base: str, make: subprocess.Popen[bytes]) -> None:
    """Return as soon as /readyz answers 200."""
    deadline = time.monotonic() + READY_WITHIN_S
    reason = "nothing listens"
    while time.monotonic() < deadline:
        if make.poll() is not None:
            raise JobError(f"make serve ended with {make.returncode} before it was ready")
        try:
            status, reason = fetch(f"{base}/readyz")
            if status == 200:
                return
        except OSError as error:
            reason = str(error)
        time.sleep(0.2)
    raise JobError(f"not ready within {READY_WITHIN_S} s: {reason}")


def children(parent: int) -> list[int]:
    """Return the processes whose parent this is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid …; the name may contain spaces and parentheses
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def classify(base: str, picture: Path, label: str) -> None:
    """Send the picture and compare the first label."""
    answer = json.loads(expect_ok(f"{base}/v1/classify", picture.read_bytes()))
    first = answer["predictions"][0]
    print(f"{picture.name}: {first['label']} {first['score']:.4f}, {answer['timing']}")
    if first["label"] != label:
        raise JobError(f"{picture} was taken for {first['label']}, it shows: {label}")


def ask_everything(base: str, picture: Path, label: str) -> None:
    """Use the running service."""
    classify(base, picture, label)
    metrics = expect_ok(f"{base}/metrics")
    if "keraserve_images_total{" not in metrics:
        raise JobError("/metrics does not count images")
    for page in ("/docs", "/redoc", "/openapi.json"):
        expect_ok(f"{base}{page}")


def stop(make: subprocess.Popen[bytes]) -> None:
    """Terminate the server; it, and so make, ends with 0."""
    servers = children(make.pid)
    if len(servers) != 1:
        raise JobError(f"make serve has {len(servers)} child processes, expected the server alone")
    started = time.monotonic()
    os.kill(servers[0], signal.SIGTERM)
    try:
        code = make.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        raise JobError(f"still running {STOPPED_WITHIN_S} s after SIGTERM") from None
    if code != 0:
        raise JobError(f"make serve ended with {code} after SIGTERM")
    print(f"stopped with 0 after {time.monotonic() - started:.1f} s")


def main(picture: Path, label: str) -> int:
    """Run the job; 0 if all went as promised."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "PORT": str(port)}
    started = time.monotonic()
    make = subprocess.Popen(["make", "serve"], cwd=ROOT, env=environment, start_new_session=True)
    try:
        wait_until_ready(base, make)
        print(f"ready after {time.monotonic() - started:.1f} s")
        ask_everything(base, picture, label)
        stop(make)
    except JobError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if make.poll() is None:
            os.killpg(make.pid, signal.SIGKILL)
            make.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(ROOT / sys.argv[1], sys.argv[2]))
