"""``keraserve models …`` against a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.access.caller import Scope
from app.access.keys_file import create_key
from app.cli import main
from tests.api.live_server import LiveServer, listening
from tests.api.world import add_version
from tests.factories.versions import Defect, make_version

pytestmark = pytest.mark.timeout(60)

SETTINGS = {"store_watch": "off", "keep_warm_s": 0}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    for version in (1, 2, 3):
        add_version(tmp_path, version=version)
    with listening(tmp_path, **SETTINGS) as server:
        yield server


def run(server: LiveServer, *arguments: str) -> int:
    return main(["models", *arguments, "--url", server.url])


def default_of(server: LiveServer) -> int | None:
    (model,) = server.lifecycle.statuses()
    return model.default_version


def test_orders_are_carried_out_and_told(
    server: LiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server, "load", "cifar10", "1") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["changed", "cifar10: stable is 3"]
    assert [line.split()[:2] for line in told[2:]] == [["3", "AVAILABLE"], ["1", "AVAILABLE"]]
    assert run(server, "load", "cifar10", "1") == 0
    assert capsys.readouterr().out.startswith("nothing to change\n")
    assert run(server, "unload", "cifar10", "3") == 0
    assert default_of(server) == 2
    assert run(server, "label", "cifar10", "stable", "1") == 0
    assert "stable is 1 (pinned)" in capsys.readouterr().out
    assert run(server, "label", "cifar10", "stable", "--remove") == 0
    assert run(server, "rollback", "cifar10") == 0
    assert default_of(server) == 1
    assert run(server, "reload") == 0


def test_status_tells_who_serves_and_why_others_do_not(
    server: LiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    make_version(server.lifecycle.store_root, version=4, defect=Defect.WRONG_SIZE)
    assert run(server, "reload") == 0
    assert run(server, "canary", "cifar10", "1", "0.25", "--max-error-rate", "0.1") == 0
    assert run(server, "shadow", "cifar10", "1", "1") == 0
    capsys.readouterr()
    assert run(server, "status") == 0
    told = capsys.readouterr().out
    assert "cifar10: stable is 3 (pinned)" in told
    assert "FAILED" in told
    assert "model.keras" in told
    assert "canary: 1 at 25 %, ACTIVE" in told
    assert "shadow: 1 at 100 %, ACTIVE" in told
    assert run(server, "status", "cifar10", "--json") == 0
    model = json.loads(capsys.readouterr().out)
    assert model["canary"]["max_error_rate"] == 0.1
    assert run(server, "canary", "cifar10", "--off") == 0
    assert "canary: off" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("load", "none"), 1, "no model 'none'"),
        (("load", "cifar10", "9"), 1, "no version 9"),
        (("label", "cifar10", "b", "9"), 1, "no version 9"),
        (("label", "cifar10", "b"), 2, "give a version, or --remove"),
        (("canary", "cifar10"), 2, "give a target and a share, or --off"),
        (("canary", "cifar10", "1", "0.5", "--off"), 2, "give a target and a share, or --off"),
        (("canary", "cifar10", "1", "7"), 1, "share is 7"),
        (("label", "cifar10", "b", "1", "--model-dir", "x"), 2, "--url or --model-dir, not both"),
        (("rollback", "a/b?c"), 1, "There is no /v1/admin/models/a/b?c/rollback"),
    ],
)
def test_what_cannot_be_done_is_said_and_fails(
    server: LiveServer,
    arguments: tuple[str, ...],
    code: int,
    named: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(server, *arguments) == code
    captured = capsys.readouterr()
    assert named in captured.err
    assert captured.out == ""


def test_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "status", "--url", "http://127.0.0.1:9"]) == 1
    assert "http://127.0.0.1:9 does not answer" in capsys.readouterr().err


def test_key_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, store, mine = tmp_path / "keys.json", tmp_path / "store", tmp_path / "mine"
    add_version(store)
    mine.write_text(create_key(keys, "ops", [Scope.ADMIN]) + "\n")
    with listening(store, api_keys_file=keys, **SETTINGS) as server:
        assert run(server, "reload") != 0
        assert "API key" in capsys.readouterr().err
        assert run(server, "reload", "--key-file", str(mine)) == 0
        monkeypatch.setenv("KERASERVE_API_KEY", mine.read_text().strip())
        assert run(server, "reload") == 0
        monkeypatch.setenv("KERASERVE_API_KEY", "ks_\xfc")
        assert run(server, "reload") == 1
        assert "characters that no key has" in capsys.readouterr().err
        monkeypatch.setenv("KERASERVE_API_KEY", mine.read_text().strip())
        monkeypatch.setenv("KERASERVE_URL", server.url)
        assert main(["models", "status"]) == 0
        assert run(server, "reload", "--key-file", str(tmp_path / "none")) != 0
        assert "none cannot be read" in capsys.readouterr().err
