"""``keraserve bench`` against a running server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.access.caller import Scope
from app.access.keys_file import create_key
from app.cli import main
from tests.api.live_server import LiveServer, listening
from tests.api.world import add_version, picture

pytestmark = pytest.mark.timeout(60)

SETTINGS = {"store_watch": "off", "keep_warm_s": 0}
SHORT = ["--seconds", "0.1", "--clients", "1,3", "--rates", "40", "--deadline-ms", "20000"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    (folder / "a.png").write_bytes(picture(1))
    (folder / "below" / "b.JPG").write_bytes(picture(2, "JPEG"))
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    store = tmp_path / "store"
    store.mkdir()
    for version in (1, 2):
        add_version(store, version=version)
    with listening(store, **SETTINGS) as server:
        yield server


def test_loads_are_measured_reported_written_and_drawn(
    server: LiveServer, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, drawing = tmp_path / "bench.json", tmp_path / "bench.svg"
    words = ["bench", server.url, "--images", str(images), *SHORT]
    assert main([*words, "--json", str(figures), "--plot", str(drawing)]) == 0
    told = capsys.readouterr()
    assert "cifar10:2; 2 images" in told.err
    assert "closed loop, 3 clients …" in told.err
    assert "The server classifies up to" in told.out
    assert "up to 40 requests/s" in told.out
    found = json.loads(figures.read_text())
    assert (found["model"], found["version"], found["images"]) == ("cifar10", 2, 2)
    assert [load["clients"] for load in found["closed_loop"]] == [1, 3]
    for load in found["closed_loop"] + found["open_loop"]:
        assert set(load["outcomes"]) == {"200"}
        assert load["server"]["batch_size"] >= 1
    assert found["knee"]["requests_per_s"] == 40
    assert found["was_interrupted"] is False
    assert ElementTree.parse(drawing).getroot().tag.endswith("svg")


def test_chosen_version_gets_raw_bodies(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    for version in (1, 2):
        add_version(store, version=version)
    with listening(store, models="cifar10:latest(2)", **SETTINGS) as server:
        before = {name: len(puppet.executed) for name, puppet in server.puppets.items()}
        words = ["bench", server.url, "--images", str(images), *SHORT, "--content", "raw"]
        assert main([*words, "--model", "cifar10", "--version", "1"]) == 0
        assert "cifar10:1;" in capsys.readouterr().err
        after = {name: len(puppet.executed) for name, puppet in server.puppets.items()}
    assert after["cifar10:1"] > before["cifar10:1"]
    assert after["cifar10:2"] == before["cifar10:2"]


def test_deadline_is_told_to_the_server_where_asked(
    server: LiveServer, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", server.url, "--images", str(images), *SHORT, "--send-deadline"]
    assert main(words) == 2
    assert "timeout_ms is 20000; the limit is 10000" in capsys.readouterr().err
    assert main([*words, "--deadline-ms", "9000"]) == 0


def test_failed_requests_are_told_and_make_it_fail(
    server: LiveServer, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "c.png").write_bytes(b"no image")  # behind the first, which is tried beforehand
    words = ["bench", server.url, "--images", str(images), "--seconds", "0.2", "--clients", "3"]
    assert main([*words, "--rates", "30"]) == 1
    assert "should not have failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--model", "none"], "answered the first image 404: there is no model 'none'"),
        (["--version", "9"], "404: cifar10 has no version 9"),
        (["--images", "{tmp}"], "no image in"),
        (["--images", "{tmp}/none"], "none is no folder"),
        (["--plot", "{tmp}/a.png"], "should end in .svg"),
        (["--json", "{tmp}/none/a.json"], "none is no folder"),
        (["--key-file", "{tmp}/none"], "none cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_said_before_any_load(
    server: LiveServer,
    images: Path,
    tmp_path: Path,
    words: list[str],
    named: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    words = [word.replace("{tmp}", str(empty)) for word in words]
    assert main(["bench", server.url, "--images", str(images), *words]) == 2
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert named in line
    assert told.out == ""


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://127.0.0.1:9", "does not answer"),
        ("ftp://127.0.0.1", "no address of a server"),
        ("127.0.0.1:8000", "no address of a server"),
        ("http://127.0.0.1:99999", "no address of a server"),
        ("http://", "no address of a server"),
        ("http://127.0.0.1:9?a=b", "no address of a server"),
    ],
)
def test_wrong_address_is_said_in_one_line(
    url: str, named: str, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", url, "--images", str(images)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_server_that_is_not_ready_is_not_loaded(
    server: LiveServer, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.lifecycle.begin_drain()
    assert main(["bench", server.url, "--images", str(images)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not ready: " in line


def test_key_and_address_come_from_the_environment(
    tmp_path: Path,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys, store = tmp_path / "keys.json", tmp_path / "store"
    add_version(store)
    key = create_key(keys, "bench", [Scope.INFER])
    with listening(store, api_keys_file=keys, **SETTINGS) as server:
        monkeypatch.setenv("KERASERVE_URL", server.url)
        words = ["bench", "--images", str(images), *SHORT]
        assert main(words) == 2
        assert "answered the first image 401" in capsys.readouterr().err
        monkeypatch.setenv("KERASERVE_API_KEY", key)
        assert main(words) == 0
        assert "/metrics are out of reach" in capsys.readouterr().out  # not of this scope


def test_interrupt_ends_it_and_writes_what_there_is(
    server: LiveServer, images: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "bench.json"
    command = [sys.executable, "-m", "app", "bench", server.url, "--images", str(images)]
    command += ["--clients", "1", "--rates", "20", "--seconds", "1", "--json", str(figures)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stderr is not None
        for line in it.stderr:
            if line.startswith("open loop"):
                it.send_signal(signal.SIGINT)
                break
        out, err = it.communicate(timeout=30)
    assert it.returncode == 130, err
    assert "interrupted" in err
    assert "The server classifies up to" in out
    found = json.loads(figures.read_text())
    assert found["was_interrupted"] is True
    assert len(found["closed_loop"]) == 1
    assert found["open_loop"] == []
