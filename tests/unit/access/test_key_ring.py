# ruff: noqa: ASYNC240 - what blocks is a file of some hundred bytes
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from app.access.caller import Caller, Scope
from app.access.key_ring import KeyRing
from app.access.keys_file import create_key, revoke_key
from app.errors import KeysFileError
from app.watching import WatchPolicy

pytestmark = pytest.mark.timeout(30)

PATIENCE_S = 10.0
QUICKLY = WatchPolicy("events", 0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]


def test_key_is_found_with_its_name_and_scopes(path: Path) -> None:
    keys = {name: create_key(path, name, [Scope.INFER]) for name in ("a", "b", "c")}
    ring = KeyRing(path)
    for name, key in keys.items():
        assert ring.find(key) == Caller(name, frozenset({Scope.INFER}))


def test_what_is_no_key_is_not_found(path: Path) -> None:
    key = create_key(path, "a", [Scope.INFER])
    ring = KeyRing(path)
    for other in ("", "a", key[:-1], key + "A", key.removeprefix("ks_"), key.swapcase(), "ü"):
        assert ring.find(other) is None


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ({Scope.INFER}, {Scope.INFER}),
        ({Scope.METRICS}, {Scope.METRICS}),
        ({Scope.INFER, Scope.METRICS}, {Scope.INFER, Scope.METRICS}),
        ({Scope.ADMIN}, {Scope.INFER, Scope.METRICS, Scope.ADMIN}),
    ],
)
def test_scopes_allow_themselves_and_admin_allows_all(
    scopes: set[Scope], allowed: set[Scope]
) -> None:
    caller = Caller("a", frozenset(scopes))
    assert {scope for scope in Scope if caller.may(scope)} == allowed


@pytest.mark.parametrize("text", [None, "{", '{"keys": [{}]}'])
def test_ring_is_not_made_of_a_file_that_cannot_be_used(text: str | None, path: Path) -> None:
    if text is not None:
        path.write_text(text)
    with pytest.raises(KeysFileError, match=r"keys\.json"):
        KeyRing(path)


def test_file_without_keys_lets_nobody_in_and_warns(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text('{"keys": []}')
    ring = KeyRing(path)
    assert ring.find("") is None
    (line,) = caplog.records
    assert (line.message, line.levelno) == (
        "no key in the file: nobody is let in",
        logging.WARNING,
    )


def test_keys_come_and_go_by_rereading(path: Path) -> None:
    first = create_key(path, "first", [Scope.INFER])
    ring = KeyRing(path)
    second = create_key(path, "second", [Scope.ADMIN])
    assert ring.find(second) is None

    ring.reread()
    assert ring.find(second) == Caller("second", frozenset({Scope.ADMIN}))

    revoke_key(path, "first")
    ring.reread()
    assert ring.find(first) is None
    assert ring.find(second) is not None


@pytest.mark.parametrize("fault", ["vanished", "broken", "unreadable"])
def test_file_that_cannot_be_used_any_more_changes_nothing_and_is_logged_once(
    fault: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = create_key(path, "a", [Scope.INFER])
    whole = path.read_text()
    ring = KeyRing(path)

    path.unlink()
    if fault == "broken":
        path.write_text(whole[:-10])
    elif fault == "unreadable":
        path.mkdir()
    for _ in range(3):
        ring.reread()
    assert ring.find(key) is not None
    assert errors(caplog) == ["keys not read, those known so far hold"]


def test_file_that_is_mended_counts_again_and_a_second_fault_is_told_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = create_key(path, "a", [Scope.INFER])
    whole = path.read_text()
    ring = KeyRing(path)
    for text in ("{", whole, "{"):
        path.write_text(text)
        ring.reread()
    assert len(errors(caplog)) == 2

    path.write_text('{"keys": []}')
    ring.reread()
    assert ring.find(key) is None


def test_no_key_and_no_hash_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = create_key(path, "a", [Scope.INFER])
    ring = KeyRing(path)
    ring.find(key)
    path.write_text(path.read_text().replace('"sha256": "', f'"sha256": "{key}'))
    ring.reread()
    assert errors(caplog)
    for record in caplog.records:
        assert key not in str(vars(record))


@asynccontextmanager
async def following(ring: KeyRing) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(ring.follow())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_S)
        assert task.cancelled()


async def in_force(ring: KeyRing, key: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while ring.find(key) is None:
            await checkpoint()


async def test_ring_follows_a_file_that_is_replaced_vanishes_and_comes_back(path: Path) -> None:
    key = create_key(path, "a", [Scope.INFER])
    ring = KeyRing(path, QUICKLY)
    async with following(ring):
        for number in range(3):  # each time another file in its place
            await in_force(ring, create_key(path, f"new-{number}", [Scope.INFER]))
        path.rename(path.with_name("aside"))
        await in_force(ring, create_key(path, "back", [Scope.INFER]))
        assert ring.find(key) is None


async def test_event_alone_makes_the_ring_reread(path: Path) -> None:
    create_key(path, "a", [Scope.INFER])
    ring = KeyRing(path, WatchPolicy("events", 3600))
    made: list[str] = []
    async with following(ring) as task, asyncio.timeout(PATIENCE_S):
        while not any(map(ring.find, made)):  # when the watch begins is not told
            made.append(create_key(path, f"key-{len(made)}", [Scope.INFER]))
            await asyncio.wait([task], timeout=0.2)


class Stumbling(KeyRing):
    """Fails to reread, so many times, as where the system has no threads left."""

    def __init__(self, path: Path, policy: WatchPolicy, failures: int) -> None:
        super().__init__(path, policy)
        self.failures = failures
        self.rereads = 0

    def reread(self) -> None:
        self.rereads += 1
        if self.rereads <= self.failures:
            raise RuntimeError("can't start new thread")
        super().reread()


async def test_ring_follows_on_after_a_fault_and_says_it_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create_key(path, "a", [Scope.INFER])
    ring = Stumbling(path, QUICKLY, failures=3)
    async with following(ring):
        for number in range(2):
            await in_force(ring, create_key(path, f"new-{number}", [Scope.INFER]))
    assert errors(caplog) == ["following a file broke off"]


async def test_ring_waits_before_it_follows_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create_key(path, "a", [Scope.INFER])
    ring = Stumbling(path, WatchPolicy("events", 3600), failures=1000)
    async with following(ring), asyncio.timeout(PATIENCE_S):
        while not errors(caplog):
            await checkpoint()
        await wait_all_tasks_blocked()
        assert ring.rereads == 1


async def test_ring_does_not_follow_where_nothing_is_to_be_watched(path: Path) -> None:
    create_key(path, "a", [Scope.INFER])
    await asyncio.wait_for(KeyRing(path, WatchPolicy("off")).follow(), PATIENCE_S)
