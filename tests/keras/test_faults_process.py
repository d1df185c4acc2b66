"""The server as a process of its own, while what it stands on gives way."""

from __future__ import annotations

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.factories.images import encode
from tests.keras.server_process import PATIENCE_S, ROOT, Server, serving

pytestmark = [
    pytest.mark.keras,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="limits of a running process: prlimit"),
]

NAME = "fashion_mnist"
PICTURE = (ROOT / "docs" / "images" / "sneaker.png").read_bytes()
IDLE_CONNECTIONS = 2000
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of its own, for what is written to it."""
    folder = tmp_path_factory.mktemp("store")
    newest = max((ROOT / "models" / NAME).iterdir(), key=lambda version: int(version.name))
    shutil.copytree(newest, folder / NAME / newest.name)
    return folder


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[Server]:
    """One server for all tests that give back what they took: it is to survive each of them."""
    flags = ["--models", NAME, "--default-model", NAME, "--header-timeout-s", "600"]
    with serving(*flags, "--model-dir", str(store)) as server:
        server.wait_for("ready")
        yield server


def ask(url: str, content: bytes | None = PICTURE, method: str = "POST") -> int:
    """Return the status of an answer."""
    request = urllib.request.Request(
        url, data=content, headers={"Content-Type": "image/png"}, method=method
    )
    try:
        with DIRECT.open(request, timeout=PATIENCE_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def classify(server: Server, content: bytes = PICTURE) -> int:
    return ask(f"{server.url}/v1/classify", content)


def descriptors(server: Server) -> int:
    return sum(1 for _ in Path(f"/proc/{server.process.pid}/fd").iterdir())


@contextmanager
def limited(server: Server, what: int, limit: int) -> Iterator[None]:
    """Have the running server meet a limit of the system, for a while."""
    soft, hard = resource.prlimit(server.process.pid, what)
    resource.prlimit(server.process.pid, what, (limit, hard))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, what, (soft, hard))


@contextmanager
def crowd(server: Server, size: int) -> Iterator[list[socket.socket]]:
    """Connections that say nothing."""
    host, port = server.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_S))
            for _ in range(size)
        ]


def load(server: Server, requests: int) -> Counter[int]:
    with ThreadPoolExecutor(8) as clients:
        return Counter(clients.map(lambda _: classify(server), range(requests)))


def test_two_thousand_idle_connections_hold_nobody_up(server: Server) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = descriptors(server)
    with crowd(server, IDLE_CONNECTIONS):
        assert load(server, 200) == {200: 200}
        assert descriptors(server) >= before + IDLE_CONNECTIONS
    assert load(server, 200) == {200: 200}


def test_without_descriptors_who_is_connected_is_answered_and_others_are_later(
    server: Server,
) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    kept = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)

    def on_the_kept_one() -> int:
        kept.request("POST", "/v1/classify", PICTURE, {"Content-Type": "image/png"})
        answer = kept.getresponse()
        answer.read()
        return answer.status

    assert on_the_kept_one() == 200
    with limited(server, resource.RLIMIT_NOFILE, descriptors(server) + 4), crowd(server, 50):
        for _ in range(20):
            assert on_the_kept_one() == 200
    kept.close()
    assert load(server, 50) == {200: 50}
    assert server.process.poll() is None


def test_without_room_on_the_disk_nothing_is_half_written_and_images_are_classified(
    server: Server, store: Path
) -> None:
    labels = f"{server.url}/v1/admin/models/{NAME}/labels/stable"
    version = int(next((store / NAME).iterdir()).name)
    before = sorted(path.name for path in (store / NAME).iterdir())
    with limited(server, resource.RLIMIT_FSIZE, 0):
        request = urllib.request.Request(
            labels, json.dumps({"version": version}).encode(), method="PUT"
        )
        request.add_header("Content-Type", "application/json")
        with pytest.raises(urllib.error.HTTPError) as refused:
            DIRECT.open(request, timeout=PATIENCE_S)
        with refused.value as answer:
            assert (answer.code, json.load(answer)["code"]) == (507, "store_not_written")
        assert load(server, 50) == {200: 50}
    assert sorted(path.name for path in (store / NAME).iterdir()) == before
    DIRECT.open(request, timeout=PATIENCE_S).close()
    DIRECT.open(urllib.request.Request(labels, method="DELETE"), timeout=PATIENCE_S).close()


def test_image_that_the_memory_does_not_hold_fails_alone(server: Server) -> None:
    large = encode(Image.new("P", (3900, 3900)), "GIF")  # 58 MiB as colours
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize"))
    with limited(server, resource.RLIMIT_AS, (used + 4 * 1024) * 1024):
        assert {classify(server, large) for _ in range(5)} == {503}
        assert load(server, 50) == {200: 50}
    assert classify(server, large) == 200
    assert ask(f"{server.url}/livez", None, "GET") == 200
    assert ask(f"{server.url}/readyz", None, "GET") == 200


def test_sigterm_ends_with_0_whatever_clients_are_about() -> None:
    """Some are answered, some say nothing, some stop in their head or body, some never read."""
    flags = ["--models", NAME, "--default-model", NAME]
    with serving(*flags, "--request-timeout-ms", "3000") as server:
        server.wait_for("ready")
        head = b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
        with crowd(server, 40) as idle, ThreadPoolExecutor(16) as clients:
            for number, line in enumerate(idle):
                length = b"Content-Length: %d\r\n\r\n" % len(PICTURE)
                never_read = (b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n") * 50
                line.sendall([b"", head[:20], head + length + PICTURE[:9], never_read][number % 4])
            asked = [clients.submit(classify, server) for _ in range(200)]
            server.wait_for("request", status=200, model=NAME)
            server.process.send_signal(signal.SIGTERM)
            outcomes = Counter(
                future.result() if future.exception() is None else "refused" for future in asked
            )
        # The default bound, and room for a busy machine.
        assert server.process.wait(30 + PATIENCE_S) == 0
        drained = server.wait_for("drained")
    assert (drained["images_cut_off"], drained["requests_cut_off"]) == (0, 0)
    assert outcomes[200] >= 1
    assert set(outcomes) <= {200, 503, "refused"}


def test_log_that_cannot_be_written_stops_nothing() -> None:
    """A full disk under the log, from the start to the end."""
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--log-format", "json"]
    environment = {key: value for key, value in os.environ.items() if "KERASERVE" not in key}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command[command.index("0")] = str(port)
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            [*command, "--models", NAME, "--default-model", NAME],
            cwd=ROOT, env=environment, stdout=full, stderr=full,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        while process.poll() is None:
            try:
                if ask(f"{url}/readyz", None, "GET") == 200:
                    break
            except OSError:  # it does not listen yet
                continue
        assert [ask(f"{url}/v1/classify") for _ in range(5)] == [200] * 5
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


def test_killed_it_serves_again_as_soon_as_it_is_started(store: Path) -> None:
    flags = ["--models", NAME, "--default-model", NAME, "--model-dir", str(store)]
    with serving(*flags) as first:
        first.wait_for("ready")
        with ThreadPoolExecutor(8) as clients:
            asked = [clients.submit(classify, first) for _ in range(50)]
            first.wait_for("request", status=200)
            first.process.send_signal(signal.SIGKILL)
            for future in asked:
                assert future.exception() is not None or future.result() == 200
    with serving(*flags) as second:
        second.wait_for("ready")
        assert load(second, 20) == {200: 20}
