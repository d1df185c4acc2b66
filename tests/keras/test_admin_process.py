"""Orders to a real server, over its socket and from a terminal."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.keras.server_process import ROOT, Server
from tests.keras.test_swap_process import NAME, Load, classify, models, publish, start

pytestmark = [pytest.mark.keras, pytest.mark.timeout(300)]

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits other processes")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / NAME).mkdir()
    publish(tmp_path, 1)
    publish(tmp_path, 2)
    return tmp_path


def order(server: Server, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    url = f"{server.url}/v1/admin/models/{NAME}{path}"
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def command(server: Server, *arguments: str) -> str:
    words = [sys.executable, "-m", "app", "models", *arguments, "--url", server.url]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@linux
def test_label_that_the_disk_has_no_room_for_changes_nothing(store: Path) -> None:
    with start(store) as server:
        server.wait_for("ready")
        assert order(server, "PUT", "/labels/stable", {"version": 2})[0] == 200
        before = (store / "labels.json").read_bytes()
        # Every write to a file fails in the kernel from here on, as on a full disk.
        no_limit = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, no_limit[1]))

        status, problem = order(server, "PUT", "/labels/stable", {"version": 1})

        assert (status, problem["code"]) == (507, "store_not_written")
        assert "labels.json cannot be written" in problem["detail"]
        assert (store / "labels.json").read_bytes() == before
        assert sorted(path.name for path in store.iterdir()) == [
            ".labels.json.lock", NAME, "labels.json",
        ]  # fmt: skip
        assert classify(f"{server.url}/v1/classify") == 2

        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, no_limit)
        assert order(server, "PUT", "/labels/stable", {"version": 1})[0] == 200
        assert classify(f"{server.url}/v1/classify") == 1
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with start(store) as server:
        server.wait_for("ready")
        assert classify(f"{server.url}/v1/classify") == 1


def test_canary_is_begun_promoted_and_rolled_back_under_load(store: Path) -> None:
    with start(store) as server:
        server.wait_for("ready")
        command(server, "label", NAME, "stable", "1")
        load = Load(server)
        with load.on():
            command(server, "shadow", NAME, "2", "0.5")
            command(server, "canary", NAME, "latest", "0.2")
            load.wait_for(1)
            load.wait_for(2)
            command(server, "label", NAME, "stable", "2")
            assert models(server)["default_version"] == 2
            assert "stable is 1 (pinned)" in command(server, "rollback", NAME)
            assert models(server)["default_version"] == 1
        told = command(server, "status")
    assert load.failures == []
    assert set(load.versions) == {1, 2}
    assert "canary: latest at 20 %, ENDED: it was rolled back from" in told
