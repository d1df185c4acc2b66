"""Files that others publish: fetched within bounds, and only taken for what they should be."""

from __future__ import annotations

import gzip
import hashlib
import logging
import queue
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar, cast

import httpx
from tqdm import tqdm

from training.data.dataset import DataError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CHUNK_BYTES = 1 << 20
_BAR_DELAY_S = 1.0  # what is done sooner needs no bar


@dataclass(frozen=True, slots=True)
class PublicFile:
    """A file and what it must be.

    Attributes:
        url: Where it is published.
        sha256: Of its content; unpacked, where it is gzipped.
        most_bytes: More than it has as it is sent.
        is_gzipped: Whether it is unpacked.
    """

    url: str
    sha256: str
    most_bytes: int
    is_gzipped: bool = False


@dataclass(frozen=True, slots=True)
class DownloadPolicy:
    """How long a server is waited for.

    Attributes:
        answer_s: Until it answers, the look-up of its name included, which no library bounds:
            without a network it may take a minute.
        silence_s: Until the next piece of the file comes.
    """

    answer_s: float = 10.0
    silence_s: float = 30.0


@contextmanager
def downloaded(
    source: PublicFile, folder: Path, policy: DownloadPolicy | None = None
) -> Iterator[IO[bytes]]:
    """Give a file at its beginning, unpacked where it is gzipped; nothing is left of it afterwards.

    A bar is on stderr, and only on a terminal.

    Args:
        source: What to fetch.
        folder: Has room for it.
        policy: How long to wait.

    Raises:
        DataError: It cannot be fetched, or is another one.
    """
    with tempfile.TemporaryFile(dir=folder) as packed:
        try:
            _fetch(source, packed, policy or DownloadPolicy())
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise DataError(f"{source.url} cannot be downloaded: {reason}") from error
        packed.seek(0)
        content: IO[bytes] = packed
        if source.is_gzipped:
            content = cast(IO[bytes], gzip.GzipFile(fileobj=packed))
        _check(source, content)
        content.seek(0)
        yield content


def _fetch(source: PublicFile, file: IO[bytes], policy: DownloadPolicy) -> None:
    logger.info("downloading", extra={"url": source.url})
    timeout = httpx.Timeout(policy.silence_s, connect=policy.answer_s)
    # Sent packed once more, it would be another file.
    headers = {"Accept-Encoding": "identity"}
    with httpx.Client(timeout=timeout, follow_redirects=True, headers=headers) as client:
        request = client.build_request("GET", source.url)
        response = _within(policy.answer_s, lambda: client.send(request, stream=True), source)
        try:
            if response.status_code != httpx.codes.OK:
                raise DataError(f"{source.url} answers {response.status_code}")
            _copy(source, response, file)
        finally:
            response.close()


def _copy(source: PublicFile, response: httpx.Response, file: IO[bytes]) -> None:
    length = response.headers.get("content-length", "")
    with tqdm(
        total=int(length) if length.isdecimal() else None,
        desc=source.url.rpartition("/")[2],
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,  # None: quiet unless stderr is a terminal
        delay=_BAR_DELAY_S,
    ) as bar:
        size_bytes = 0
        for chunk in response.iter_raw(_CHUNK_BYTES):
            size_bytes += len(chunk)
            if size_bytes > source.most_bytes:
                raise DataError(
                    f"{source.url} sends more than {source.most_bytes:,} bytes: it is another file"
                )
            file.write(chunk)
            bar.update(len(chunk))


def _check(source: PublicFile, content: IO[bytes]) -> None:
    digest = hashlib.sha256()
    try:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{source.url} is damaged: {error}") from error
    if digest.hexdigest() != source.sha256:
        raise DataError(
            f"{source.url} is another file than the published one: its SHA-256 is "
            f"{digest.hexdigest()}, must be {source.sha256}"
        )


def _within(seconds: float, work: Callable[[], T], source: PublicFile) -> T:
    """Return what ``work`` returns, if it does in time; otherwise it is left to itself."""
    outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:  # handed to whoever waits
            outcome.put((None, error))

    threading.Thread(target=run, name="download", daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise DataError(
            f"{source.url} cannot be downloaded: no answer within {seconds:g} s"
        ) from None
    if error is not None:
        raise error
    return cast(T, result)
