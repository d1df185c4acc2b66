"""One JSON document that people and commands write while servers read it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class JsonFile(Generic[T]):
    """A file that is replaced as a whole by one rename.

    Read: whoever reads finds all of the old content or all of the new, and never waits.
    Write: one writer at a time. ``with file.locked():`` around reading, changing and writing makes
    the three one step, for threads and processes alike.
    Failure: what could not be written has changed nothing. Messages name the file and the place in
    it, never a value: that may be a secret.
    """

    def __init__(
        self,
        path: Path,
        content: TypeAdapter[T],
        fault: Callable[[str], Exception],
        *,
        mode: int = 0o666,
    ) -> None:
        """Name the file; nothing is read yet.

        Args:
            path: Where it stands; its folder must exist before it is written.
            content: What it must hold, read strictly.
            fault: Makes the exception of everything that can go wrong from its message.
            mode: Permissions of a file that is new, less the process's umask. One that exists keeps
                its own and, where this process may give it away, its owner: a server that runs as
                somebody else can still read it.
        """
        self.path = path
        self._content = content
        self._fault = fault
        self._mode = mode

    def read(self) -> T | None:
        """Return what it holds; None where there is none."""
        try:
            return self._content.validate_json(self.path.read_bytes(), strict=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._fault(f"{self.path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "document"
            raise self._fault(f"{self.path}: {where}: {first['msg']}") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out meanwhile."""
        path = self.path.with_name(f".{self.path.name}.lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._fault(f"{path} cannot be made: {error.strerror}") from error
        with os.fdopen(descriptor) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, also when we die
            except OSError as error:  # some network file systems have no locks
                raise self._fault(f"{path} cannot be locked: {error.strerror}") from error
            yield

    def write(self, document: Any) -> None:
        """Replace what it holds, or leave it as it is.

        Args:
            document: Of what JSON knows.
        """
        part = self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")
        try:
            try:
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._mode)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    self._keep_access(file.fileno())
                    file.write(json.dumps(document, indent=2) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(self.path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise self._fault(f"{self.path} cannot be written: {error.strerror}") from error
        _sync_folder(self.path.parent)

    def _keep_access(self, descriptor: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            before = self.path.stat()
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot: the file is there
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
