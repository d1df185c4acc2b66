from __future__ import annotations

import hashlib
import json
import re
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.access.caller import Scope
from app.access.keys_file import KeyEntry, create_key, read_keys, revoke_key
from app.errors import KeysFileError

ENTRY: dict[str, Any] = {
    "name": "ops-laptop",
    "scopes": ["admin"],
    "sha256": "0" * 64,
    "created_at": "2026-01-02T03:04:05Z",
}
OTHER = ENTRY | {"name": "other", "sha256": "1" * 64}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def write(path: Path, *entries: dict[str, Any], **more: Any) -> None:
    path.write_text(json.dumps({"keys": entries, **more}))


def names(path: Path) -> list[str]:
    return [entry.name for entry in read_keys(path)]


def test_key_is_256_random_bits_behind_a_prefix_that_tells_whose_it_is(path: Path) -> None:
    keys = {create_key(path, f"key-{number}", [Scope.INFER]) for number in range(8)}
    assert len(keys) == 8
    assert all(re.fullmatch(r"ks_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_file_has_the_hash_of_a_key_and_never_the_key(path: Path) -> None:
    key = create_key(path, "photo-app", [Scope.METRICS, Scope.INFER, Scope.INFER])
    (entry,) = read_keys(path)
    assert (entry.name, entry.scopes) == ("photo-app", (Scope.INFER, Scope.METRICS))
    assert entry.sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert timedelta(0) <= datetime.now(UTC) - entry.created_at < timedelta(minutes=1)
    assert key.removeprefix("ks_") not in path.read_text()


def test_new_file_is_for_its_owner_only(path: Path) -> None:
    create_key(path, "photo-app", [Scope.INFER])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {entry.name for entry in path.parent.iterdir()} == {"keys.json", ".keys.json.lock"}


def test_file_that_somebody_wrote_by_the_description_is_read(path: Path) -> None:
    write(path, ENTRY)
    assert read_keys(path) == (
        KeyEntry(
            name="ops-laptop",
            scopes=(Scope.ADMIN,),
            sha256="0" * 64,
            created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize(
    ("entries", "more", "message"),
    [
        pytest.param([ENTRY | {"key": "ks_x"}], {}, "keys.0.key: Extra inputs", id="extra field"),
        pytest.param([ENTRY], {"salt": "x"}, "salt: Extra inputs", id="extra field of the whole"),
        pytest.param([{"name": "a"}], {}, "keys.0.scopes: Field required", id="missing field"),
        pytest.param([ENTRY | {"name": "A b"}], {}, "keys.0.name: String", id="no name"),
        pytest.param([ENTRY | {"name": "local"}], {}, "callers without a key", id="reserved name"),
        pytest.param([ENTRY | {"scopes": []}], {}, "keys.0.scopes: Tuple", id="no scope"),
        pytest.param([ENTRY | {"scopes": ["root"]}], {}, "keys.0.scopes.0: Input", id="bad scope"),
        pytest.param([ENTRY | {"sha256": "0" * 63}], {}, "keys.0.sha256: String", id="short hash"),
        pytest.param([ENTRY | {"sha256": "A" * 64}], {}, "keys.0.sha256: String", id="upper case"),
        pytest.param(
            [ENTRY | {"created_at": "2026-01-02T03:04:05"}], {}, "keys.0.created_at", id="no zone"
        ),
        pytest.param([ENTRY, OTHER | {"name": "ops-laptop"}], {}, "the same name", id="name twice"),
        pytest.param([ENTRY, OTHER | {"sha256": "0" * 64}], {}, "the same sha256", id="hash twice"),
    ],
)
def test_file_that_is_something_else_is_refused_with_the_place(
    entries: list[dict[str, Any]], more: dict[str, Any], message: str, path: Path
) -> None:
    write(path, *entries, **more)
    with pytest.raises(KeysFileError, match=message) as caught:
        read_keys(path)
    assert str(path) in str(caught.value)
    assert "ks_x" not in str(caught.value)


def test_file_that_is_not_there_is_told_with_what_makes_it(path: Path) -> None:
    with pytest.raises(KeysFileError, match=r"keys\.json is not there; `keraserve keys create`"):
        read_keys(path)
    with pytest.raises(KeysFileError, match="is not there"):
        revoke_key(path, "photo-app")
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "ü", "a\n", "x" * 64, "local", "anonymous"])
def test_what_is_no_name_makes_no_key(name: str, path: Path) -> None:
    with pytest.raises(KeysFileError, match="cannot be the name of a key"):
        create_key(path, name, [Scope.INFER])
    assert not path.exists()


def test_name_that_is_taken_makes_no_key(path: Path) -> None:
    create_key(path, "photo-app", [Scope.INFER])
    with pytest.raises(KeysFileError, match="has a key photo-app already"):
        create_key(path, "photo-app", [Scope.ADMIN])
    assert [entry.scopes for entry in read_keys(path)] == [(Scope.INFER,)]


def test_broken_file_is_not_overwritten(path: Path) -> None:
    path.write_text("{")
    with pytest.raises(KeysFileError, match="Invalid JSON"):
        create_key(path, "photo-app", [Scope.INFER])
    assert path.read_text() == "{"


def test_revoked_key_is_gone_and_the_others_stay_in_order(path: Path) -> None:
    for name in ("a", "b", "c"):
        create_key(path, name, [Scope.INFER])
    revoke_key(path, "b")
    assert names(path) == ["a", "c"]


def test_unknown_key_cannot_be_revoked_and_the_known_are_named(path: Path) -> None:
    create_key(path, "photo-app", [Scope.INFER])
    with pytest.raises(KeysFileError, match="no key 'photo'; it has: photo-app"):
        revoke_key(path, "photo")


def test_key_revoked_through_a_link_is_revoked(path: Path) -> None:
    create_key(path, "photo-app", [Scope.INFER])
    link = path.with_name("link.json")
    link.symlink_to(path)
    revoke_key(link, "photo-app")
    assert read_keys(path) == ()


def test_last_key_can_be_revoked(path: Path) -> None:
    create_key(path, "photo-app", [Scope.INFER])
    revoke_key(path, "photo-app")
    assert read_keys(path) == ()


def test_keys_made_at_once_are_all_there(path: Path) -> None:
    wanted = [f"key-{number:02}" for number in range(16)]
    threads = [
        threading.Thread(target=create_key, args=(path, name, [Scope.INFER])) for name in wanted
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names(path)) == wanted
