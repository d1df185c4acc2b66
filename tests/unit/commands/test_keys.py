"""``keraserve keys``."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.access.caller import Caller, Scope
from app.access.key_ring import KeyRing
from app.access.keys_file import create_key, read_keys
from app.cli import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "keys.json"


def test_created_key_is_printed_alone_and_opens_what_its_scopes_say(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["keys", "create", "photo-app", "--scope", "metrics", "--scope", "infer"]
    assert main([*words, "--file", str(path)]) == 0
    shown = capsys.readouterr()
    assert re.fullmatch(r"ks_\S+\n", shown.out)
    key = shown.out.strip()
    scopes = frozenset({Scope.INFER, Scope.METRICS})
    assert KeyRing(path).find(key) == Caller("photo-app", scopes)
    assert "photo-app may: infer, metrics." in shown.err
    assert "Authorization: Bearer" in shown.err
    assert f"start the server with KERASERVE_API_KEYS_FILE={path}" in shown.err
    assert key not in shown.err


def test_file_comes_from_the_settings_where_no_flag_names_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_key(path, "a", [Scope.INFER])
    monkeypatch.setenv("KERASERVE_API_KEYS_FILE", str(path))
    assert main(["keys", "create", "b", "--scope", "admin"]) == 0
    assert [entry.name for entry in read_keys(path)] == ["a", "b"]
    assert "is new" not in capsys.readouterr().err


def test_list_shows_names_and_scopes_and_no_hash(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_key(path, "photo-app", [Scope.INFER, Scope.METRICS])
    create_key(path, "ops", [Scope.ADMIN])
    assert main(["keys", "list", "--file", str(path)]) == 0
    out = capsys.readouterr().out
    header, first, second = (line.split() for line in out.splitlines())
    assert header == ["NAME", "SCOPES", "CREATED"]
    assert first[:2] == ["photo-app", "infer,metrics"]
    assert second[:2] == ["ops", "admin"]
    assert not any(entry.sha256[:8] in out for entry in read_keys(path))


def test_revoked_key_opens_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = create_key(path, "photo-app", [Scope.INFER])
    assert main(["keys", "revoke", "photo-app", "--file", str(path)]) == 0
    assert capsys.readouterr().out == f"{path} has no key photo-app any more\n"
    assert KeyRing(path).find(key) is None

    assert main(["keys", "list", "--file", str(path)]) == 0
    assert "has no key: servers with this file let nobody in" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/full")
def test_key_that_cannot_be_shown_is_taken_away_again(path: Path) -> None:
    create_key(path, "a", [Scope.INFER])
    words = ["keys", "create", "photo-app", "--scope", "infer", "--file", str(path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "app", *words],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        2,
        "keraserve: the key photo-app could not be shown (No space left on device) and is taken "
        "away again\n",
    )
    assert [entry.name for entry in read_keys(path)] == ["a"]


@pytest.mark.parametrize(
    ("can_revoke", "message"),
    [
        (True, "photo-app could not be shown (standard output is closed) and is taken away again"),
        (False, "is still to be revoked: "),
    ],
)
def test_key_is_not_made_for_a_closed_output(
    can_revoke: bool,
    message: str,
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            path.unlink()
            raise OSError("standard output is closed")

    monkeypatch.setattr("sys.stdout", None if can_revoke else Closed())
    assert main(["keys", "create", "photo-app", "--scope", "infer", "--file", str(path)]) == 2
    assert message in capsys.readouterr().err
    if can_revoke:
        assert read_keys(path) == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create", "b", "--scope", "infer"], "Give --file FILE, or set KERASERVE_API_KEYS_FILE"),
        (["create", "b", "--scope", "infer", "--file", "no/keys.json"], "No such file"),
        (["create", "a", "--scope", "infer", "--file", "keys.json"], "has a key a already"),
        (["create", "B", "--scope", "infer", "--file", "keys.json"], "'B' cannot be the name"),
        (["revoke", "b", "--file", "keys.json"], "no key 'b'; it has: a"),
        (["list", "--file", "other.json"], "other.json is not there"),
    ],
)
def test_what_cannot_be_done_exits_2_and_says_why(
    words: list[str], message: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_key(path, "a", [Scope.INFER])
    assert main(["keys", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create", "a", "--file", "keys.json"], "--scope"),
        (["create", "a", "--scope", "root", "--file", "keys.json"], "infer, metrics, admin"),
    ],
)
def test_scope_that_is_missing_or_unknown_is_asked_for(
    words: list[str], message: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["keys", *words])
    assert message in capsys.readouterr().err.replace("'", "")
    assert not path.exists()


@pytest.mark.usefixtures("restored_root_logger")
def test_server_does_not_start_with_a_file_that_cannot_be_used(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = path.parent / "models"
    store.mkdir()
    words = ["serve", "--model-dir", str(store), "--api-keys-file", str(path)]
    assert main(words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"keraserve: .*keys\.json is not there.*\(KERASERVE_API_KEYS_FILE\)", line)

    path.write_text('{"keys": [{}]}')
    assert main(words) == 2
    assert "keys.json: keys.0.name: Field required" in capsys.readouterr().err


@pytest.mark.usefixtures("restored_root_logger")
def test_key_of_a_client_is_not_taken_for_protection(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (path.parent / "models").mkdir()
    monkeypatch.setenv("KERASERVE_API_KEY", "ks_secret")
    with socket.create_server(("127.0.0.1", 0)) as other:  # so that it ends at once
        assert main(["serve", "--port", str(other.getsockname()[1])]) == 2
    shown = capsys.readouterr()
    assert "KERASERVE_API_KEY is a client's key and protects nothing" in shown.err
    assert "ks_secret" not in shown.err
