"""The keys in force, and from a key to its caller."""

from __future__ import annotations

import hmac
import logging
import stat
from pathlib import Path

from app.access.caller import Caller
from app.access.keys_file import KeyEntry, digest_of, read_keys
from app.errors import KeysFileError
from app.watching import WatchPolicy, follow_file, is_mounted_alone

logger = logging.getLogger(__name__)


class KeyRing:
    """Holds the keys of a file in memory, and follows the file.

    Thread: ``find`` runs anywhere; ``reread`` blocks, one thread at a time. The keys are replaced
    as a whole by one assignment: whoever looks meanwhile sees all of the old or all of the new.
    Failure: a file that becomes unreadable or invalid, or vanishes, changes nothing: a slip in an
    editor neither locks everybody out nor lets anybody in. It is logged once per fault.
    Follow: whatever goes wrong is logged once and tried again each ``interval_s``: a key that is
    revoked meanwhile is refused as soon as it goes right.
    """

    def __init__(self, path: Path, policy: WatchPolicy | None = None) -> None:
        """Read the keys.

        Args:
            path: The file.
            policy: How it is watched, once ``follow()`` runs.

        Raises:
            KeysFileError: It is not there, cannot be read, or is something else.
        """
        self._path = path
        self._policy = policy or WatchPolicy()
        self._entries: tuple[KeyEntry, ...] = ()
        self._callers: tuple[tuple[bytes, Caller], ...] = ()  # by SHA-256
        self._fault: str | None = None
        self._take(read_keys(path))

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def may_miss_changes(self) -> bool:
        """Whether the file stays the old one when another one replaces it outside."""
        return is_mounted_alone(self._path)

    @property
    def loose_permissions(self) -> str | None:
        """The permissions of the file, where others than its owner may write it; else None."""
        try:
            mode = stat.S_IMODE(self._path.stat().st_mode)
        except OSError:
            return None  # reading it says why
        return f"{mode:04o}" if mode & (stat.S_IWGRP | stat.S_IWOTH) else None

    def find(self, bearer: str) -> Caller | None:
        """Return whose key this is; None for no key in force.

        Every entry is compared, in constant time each: how long it takes tells nothing of what is
        stored.
        """
        digest = digest_of(bearer)
        found = None
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def reread(self) -> None:
        """Take what the file holds now; where it cannot be read, keep what is known."""
        try:
            entries = read_keys(self._path)
        except KeysFileError as error:
            if str(error) != self._fault:  # said once
                self._fault = str(error)
                logger.error("keys not read, those known so far hold", extra={"reason": str(error)})
            return
        if self._fault is not None or entries != self._entries:
            self._fault = None
            self._take(entries)

    def _take(self, entries: tuple[KeyEntry, ...]) -> None:
        self._entries = entries
        self._callers = tuple(
            (bytes.fromhex(entry.sha256), Caller(entry.name, frozenset(entry.scopes)))
            for entry in entries
        )
        if entries:
            logger.info("keys read", extra={"keys": len(entries)})
        else:
            logger.warning("no key in the file: nobody is let in", extra={"file": str(self._path)})

    async def follow(self) -> None:
        """Reread whenever the file may have changed, until cancelled."""
        await follow_file(self._path, self.reread, self._policy)
