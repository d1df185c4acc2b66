"""Where results go: the standard output, a whole new file, or one that a later run goes on with."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.bulk.formats import RESUMABLE
from app.errors import ClientFaultError

_ENCODING, _ERRORS = "utf-8", "surrogateescape"
"""Names of files are bytes; those that are no UTF-8 come out as they went in."""


_ROW_START = b'{"file": "'


class ResultFileError(ClientFaultError):
    """The file cannot be written, or is not what it is taken for."""


class Sink(Protocol):
    """Takes text."""

    def write(self, text: str) -> None:
        """Take a piece; it is out of this process when this returns."""
        ...


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier run has written.

    Attributes:
        files: Those that have a result.
        answering: ``model:version`` of the last one; None where there is none.
        end: Bytes of the file that are whole rows; behind them lies a half one.
        has_head: Whether the line of headings is there.
    """

    files: frozenset[str] = frozenset()
    answering: str | None = None
    end: int = 0
    has_head: bool = False


def read_earlier(path: Path, format_name: str, head: str) -> Earlier:
    """Read a file that is to be gone on with; without the file, there is nothing.

    Raises:
        ResultFileError: It is something else, or cannot be read; says where.
    """
    if format_name not in RESUMABLE:
        raise ResultFileError(
            f"--resume goes on with rows that stand by themselves: {' or '.join(RESUMABLE)}, not "
            f"{format_name} (--format)"
        )
    try:
        content = path.open("rb")
    except FileNotFoundError:
        return Earlier()
    except OSError as error:
        raise ResultFileError(f"{path} cannot be read: {error.strerror}") from error
    with content as lines:
        if format_name == "jsonl":
            return _read_json_lines(path, lines)
        return _read_csv(path, lines, head)


@contextlib.contextmanager
def standard_output() -> Iterator[Sink]:
    """Write to the standard output."""
    yield _Stream()


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Sink]:
    """Write a file that appears as a whole when it is done, or not at all.

    Raises:
        ResultFileError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _naming(path):
            file = partial.open("xb", buffering=0)
        with file:
            yield _File(file, path)
        with _naming(path):
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def growing_file(path: Path, earlier: Earlier) -> Iterator[Sink]:
    """Append to a file, whatever becomes of this process, behind what is whole in it.

    Raises:
        ResultFileError: It cannot be written.
    """
    with _naming(path):
        path.touch()
        os.truncate(path, earlier.end)
        file = path.open("ab", buffering=0)
    with file:
        yield _File(file, path)


class _Stream:
    def write(self, text: str) -> None:
        try:
            # Past the encoding of the text layer, which refuses names that are no UTF-8.
            sys.stdout.buffer.write(text.encode(_ENCODING, _ERRORS))
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # nobody reads any more, which is no fault
            raise
        except OSError as error:
            raise ResultFileError(
                f"the standard output cannot be written: {error.strerror or error}"
            ) from error


class _File:
    """Without a buffer: what could not be written would come again when it is closed."""

    def __init__(self, file: io.FileIO, path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, text: str) -> None:
        left = memoryview(text.encode(_ENCODING, _ERRORS))
        with _naming(self._path):
            while left:
                left = left[self._file.write(left) :]


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file an error is about."""
    try:
        yield
    except OSError as error:
        raise ResultFileError(f"{path} cannot be written: {error.strerror or error}") from error


@dataclass(slots=True)
class _Rows:
    """Rows as they are read, up to the first that is not whole."""

    files: set[str] = field(default_factory=set)
    answering: str | None = None
    end: int = 0

    def add(self, file: str, model: str | None, version: object, length: int) -> None:
        self.files.add(file)
        self.answering = f"{model}:{version}" if model else self.answering
        self.end += length

    def earlier(self, *, has_head: bool) -> Earlier:
        return Earlier(frozenset(self.files), self.answering, self.end, has_head)


def _read_json_lines(path: Path, lines: Iterator[bytes]) -> Earlier:
    rows = _Rows()
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):  # the process ended while it wrote this
            if line[: len(_ROW_START)] != _ROW_START[: len(line)]:
                raise ResultFileError(f"{path}, line {number}: no result of this command")
            break
        try:
            row = json.loads(line)
            rows.add(row["file"], row.get("model"), row.get("version"), len(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ResultFileError(f"{path}, line {number}: no result of this command") from error
    return rows.earlier(has_head=True)


def _read_csv(path: Path, lines: Iterator[bytes], head: str) -> Earlier:
    rows = _Rows()
    first = next(lines, b"")
    found, is_whole = first.decode(_ENCODING, _ERRORS), first.endswith(b"\n")
    # What is cut away must be ours: a file of one line without its end may be anybody's.
    is_ours = found == head if is_whole else head.startswith(found)
    if not is_ours:
        raise ResultFileError(
            f"{path} begins with other columns: it is of another --top-k, or of something else"
        )
    if not is_whole:
        return Earlier()
    rows.end = len(first)
    for number, record in enumerate(_records(lines), 2):
        try:
            # One string: split into lines, it would be split at what is none in CSV, as U+2028.
            (fields,) = csv.reader([record.decode(_ENCODING, _ERRORS)])
        except (csv.Error, ValueError) as error:
            raise ResultFileError(f"{path}, row {number}: no result of this command") from error
        if len(fields) != head.count(",") + 1:
            raise ResultFileError(f"{path}, row {number}: no result of this command")
        rows.add(fields[0], fields[1] or None, fields[2], len(record))
    return rows.earlier(has_head=True)


def _records(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield whole records: a line feed between quotation marks is part of a field."""
    record = b""
    for line in lines:
        record += line
        if record.count(b'"') % 2 == 0 and line.endswith(b"\n"):
            yield record
            record = b""
