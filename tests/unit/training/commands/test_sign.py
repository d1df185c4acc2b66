from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.artifacts.layout import SIGNATURES
from app.artifacts.signatures import read_signatures
from app.artifacts.signing_keys import create_key
from app.cli import main as keraserve
from tests.factories.signing import make_key, public_of, sign, trust_in
from tests.factories.versions import Defect, make_version
from training.cli import main


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def run(store: Path, *words: str | Path) -> int:
    return main(["sign", *map(str, words), "--models-dir", str(store)])


def test_made_key_signs_what_a_server_with_its_public_half_reads(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [make_version(store, version=version) for version in (1, 2)]
    key = tmp_path / "release.key"
    assert main(["keygen", str(key)]) == 0
    assert f"{key}.pub, for servers" in capsys.readouterr().out

    assert run(store, "cifar10:1", "cifar10:2", "--key", key) == 0

    lines = capsys.readouterr().out.splitlines()
    (signature,) = read_signatures(folders[0])
    assert lines == [f"{folder} is signed by {signature.key_id}" for folder in folders]
    for folder in folders:
        assert trust_in(key).read(folder).name == "cifar10"
    assert run(store, "cifar10:1", "--key", key) == 0
    assert capsys.readouterr().out.rstrip().endswith("already")


def test_damaged_version_is_not_signed_nor_are_those_beside_it(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = make_version(store, version=1)
    damaged = make_version(store, version=2, defect=Defect.WRONG_SHA256)

    assert run(store, "cifar10:1", "cifar10:2", "--key", make_key(tmp_path)) == 2

    assert f"{damaged}: 'model.keras' has SHA-256" in capsys.readouterr().err
    assert not (whole / SIGNATURES).exists()
    assert not (damaged / SIGNATURES).exists()


def test_loose_key_is_complained_of_and_signs_nothing(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, key = make_version(store), make_key(tmp_path)
    key.chmod(0o644)

    assert run(store, "cifar10:1", "--key", key) == 2

    assert f"{key} has the permissions 0644" in capsys.readouterr().err
    assert not (folder / SIGNATURES).exists()


def test_passphrase_is_asked_for(
    tmp_path: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = iter(["one", "two", "", "horse", "horse", "horse", "battery"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    folder, key = make_version(store), tmp_path / "release.key"

    assert main(["keygen", str(key), "--passphrase"]) == 2
    assert "passphrases differ" in capsys.readouterr().err
    assert main(["keygen", str(key), "--passphrase"]) == 2
    assert "is empty" in capsys.readouterr().err
    assert not key.exists()
    assert main(["keygen", str(key), "--passphrase"]) == 0
    assert run(store, "cifar10:1", "--key", key) == 0
    assert trust_in(key).read(folder).version == 1
    assert run(store, "cifar10:1", "--key", key) == 2
    assert "passphrase is another one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "exit_code", "told"),
    [("horse\n", 0, "is signed by"), ("", 2, "there is no terminal, and no line of input")],
)
def test_passphrase_without_a_terminal_is_a_line_of_the_input(
    tmp_path: Path, store: Path, typed: str, exit_code: int, told: str
) -> None:
    make_version(store)
    create_key(tmp_path / "release.key", b"horse")
    code = "import sys; from training.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["sign", "cifar10:1", "--key", tmp_path / "release.key", "--models-dir", store]

    # In a session of its own, it has no terminal.
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        input=typed,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )

    assert done.returncode == exit_code, done.stderr
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "GetPassWarning" not in done.stderr


def test_models_list_and_check_say_by_whom(
    tmp_path: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # where no .env is
    make_version(store, version=1)
    key = make_key(tmp_path)
    sign(make_version(store, version=2), key)
    (signature,) = read_signatures(store / "cifar10" / "2")
    words = ["models", "list", "--model-dir", str(store)]

    assert keraserve(words) == 0
    header, two, one = capsys.readouterr().out.splitlines()
    assert "SIGNED BY" in header
    assert one.split()[-2:] == ["-", "whole"]
    assert two.split()[-2:] == [signature.key_id, "whole"]

    monkeypatch.setenv("KERASERVE_TRUSTED_KEYS", str(public_of(key)))
    assert keraserve(words) == 1
    _, two, one = capsys.readouterr().out.splitlines()
    assert "FAILED: it is not signed" in one
    assert f"release ({signature.key_id})" in two

    assert keraserve(["models", "check", str(store / "cifar10" / "1")]) == 1
    assert "it is not signed" in capsys.readouterr().out
    monkeypatch.setenv("KERASERVE_TRUSTED_KEYS", "gone.pub")
    assert keraserve(words) == 2
    assert "KERASERVE_TRUSTED_KEYS" in capsys.readouterr().err


def test_key_is_not_made_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_key(tmp_path / "release.key")

    assert main(["keygen", str(tmp_path / "release.key")]) == 2
    assert "a key is never replaced" in capsys.readouterr().err
