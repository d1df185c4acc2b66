"""Files are fetched within bounds, and are what they should be or refused."""

from __future__ import annotations

import gzip
import hashlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.training.data.file_server import publishing
from training.data.dataset import DataError
from training.data.downloads import DownloadPolicy, PublicFile, downloaded

CONTENT = bytes(range(256)) * 9000  # more than one chunk
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACKED = gzip.compress(CONTENT)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def address() -> Iterator[str]:
    files = {"a": CONTENT, "a.gz": PACKED, "a.short": CONTENT, "cut.gz": PACKED[:-9]}
    with publishing(files) as address:
        yield address


def source(address: str, name: str = "a") -> PublicFile:
    return PublicFile(address + name, SHA256, len(CONTENT), is_gzipped=name.endswith(".gz"))


@pytest.mark.parametrize("name", ["a", "a.gz", "moved-a"])
def test_file_comes_at_its_beginning_and_nothing_is_left(
    address: str, name: str, tmp_path: Path
) -> None:
    with downloaded(source(address, name), tmp_path) as file:
        assert file.read() == CONTENT
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b", "/b answers 404"),
        ("moved-b", "/moved-b answers 404"),
        ("a.short", "cannot be downloaded"),
        ("cut.gz", "is damaged"),
    ],
)
def test_file_that_is_not_there_or_not_whole_is_refused(
    address: str, name: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=text), downloaded(source(address, name), tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_refused(address: str, tmp_path: Path) -> None:
    other = replace(source(address), sha256="0" * 64)
    with (
        pytest.raises(DataError, match=f"its SHA-256 is {SHA256}, must be 0000"),
        downloaded(other, tmp_path),
    ):
        pass


def test_larger_file_is_refused_before_it_has_come(address: str, tmp_path: Path) -> None:
    large = replace(source(address), most_bytes=1000)
    with (
        pytest.raises(DataError, match="sends more than 1,000 bytes"),
        downloaded(large, tmp_path),
    ):
        pass


def test_nobody_listening_is_told_with_the_address(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with (
            pytest.raises(DataError, match=rf"{address}a cannot be downloaded: .*refused"),
            downloaded(source(address), tmp_path),
        ):
            pass


def test_server_that_never_answers_is_waited_for_within_a_bound(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        policy = DownloadPolicy(answer_s=0.05, silence_s=60)
        with (
            pytest.raises(DataError, match=r"no answer within 0\.05 s"),
            downloaded(source(address), tmp_path, policy),
        ):
            pass


def test_server_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        policy = DownloadPolicy(answer_s=60, silence_s=0.05)
        with (
            pytest.raises(DataError, match="cannot be downloaded: timed out"),
            downloaded(source(address), tmp_path, policy),
        ):
            pass
