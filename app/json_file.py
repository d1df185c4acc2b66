"""One JSON document that people and commands write while servers read it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

# A write takes milliseconds, on a slow network disk a second. Who waits longer waits for a process
# that hangs, in a thread that holds up the end of the server.
_LOCK_TIMEOUT_S = 5.0
# The system has no wait for a lock that ends by itself, so writers look again: often enough that
# nobody notices, and too rarely to cost anything.
_LOCK_STEP_S = 0.05


class JsonFile(Generic[T]):
    """A file that is replaced as a whole by one rename.

    Read: whoever reads finds all of the old content or all of the new, and never waits.
    Write: one writer at a time. ``with file.locked():`` around reading, changing and writing makes
    the three one step, for threads and processes alike.
    Bound: whoever waits for another writer gives up after ``lock_timeout_s``.
    Links: of a path that is one, the file behind it is replaced, and the lock stands beside that:
    whoever comes by the link or by the file finds the same. It is followed once, here.
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
        lock_timeout_s: float = _LOCK_TIMEOUT_S,
    ) -> None:
        """Name the file; nothing is read yet.

        Args:
            path: Where it stands; its folder must exist before it is written.
            content: What it must hold, read strictly.
            fault: Makes the exception of everything that can go wrong from its message.
            mode: Permissions of a file that is new, less the process's umask. One that exists keeps
                its own and, where this process may give it away, its owner and group: a server that
                runs as somebody else can still read it.
            lock_timeout_s: How long to wait for another writer, s.
        """
        self.path = path
        # Reading goes by the path itself: where what it leads to is replaced by another link, the
        # system finds the old or the new one, and we might look for what was just taken away.
        self._target = Path(os.path.realpath(path))
        self._content = content
        self._fault = fault
        self._mode = mode
        self._lock_timeout_s = lock_timeout_s

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
        path = self._target.with_name(f".{self._target.name}.lock")
        try:
            descriptor = _open_lock(path)
        except OSError as error:
            raise self._fault(f"{path} cannot be made: {error.strerror}") from error
        try:
            self._wait_for(descriptor, path)
            yield
        finally:
            os.close(descriptor)  # which releases it, as our death would

    def _wait_for(self, descriptor: int, path: Path) -> None:
        give_up_s = time.monotonic() + self._lock_timeout_s
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                left_s = give_up_s - time.monotonic()
            except OSError as error:  # some network file systems have no locks
                raise self._fault(f"{path} cannot be locked: {error.strerror}") from error
            if left_s <= 0:
                raise self._fault(
                    f"{path} is held by another process since {self._lock_timeout_s:g} s or more; "
                    "it is freed when that one ends"
                )
            time.sleep(min(_LOCK_STEP_S, left_s))

    def write(self, document: Any) -> None:
        """Replace what it holds, or leave it as it is.

        Args:
            document: Of what JSON knows.
        """
        part = self._target.with_name(f".{self._target.name}-{secrets.token_hex(4)}")
        try:
            try:
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._mode)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    self._keep_access(file.fileno())
                    file.write(json.dumps(document, indent=2) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(self._target)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise self._fault(f"{self.path} cannot be written: {error.strerror}") from error
        _sync_folder(self._target.parent)

    def _keep_access(self, descriptor: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            before = self._target.stat()
            _give_away(descriptor, before)
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _open_lock(path: Path) -> int:
    """Open a lock that whoever can use its folder can use, whoever was the first."""
    try:
        return _open_known_lock(path)
    except FileNotFoundError:
        pass
    try:
        # What is given away below is ours and new: no link that somebody laid here leads elsewhere.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:  # another one was faster
        return _open_known_lock(path)
    with contextlib.suppress(OSError):
        folder = path.parent.stat()
        _give_away(descriptor, folder)
        os.fchmod(descriptor, stat.S_IMODE(folder.st_mode) & 0o666)  # whatever our umask is
    return descriptor


def _open_known_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except PermissionError:  # locking takes no right to write, but on NFS
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def _give_away(descriptor: int, to: os.stat_result) -> None:
    try:
        os.fchown(descriptor, to.st_uid, to.st_gid)
    except OSError:  # only root may, but members of a group may give to it
        with contextlib.suppress(OSError):
            os.fchown(descriptor, -1, to.st_gid)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # no right to list it, or a network file system that cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
