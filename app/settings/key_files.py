"""Reads the files of keys that settings name; what is wrong with them names the setting."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from app.access.key_ring import KeyRing
from app.artifacts.signing_keys import read_trusted_keys
from app.artifacts.trust import TrustPolicy
from app.errors import KeysFileError, SigningKeyError
from app.settings.names import ENV_PREFIX, SettingsError
from app.watching import WatchPolicy


def read_key_ring(path: Path | None, policy: WatchPolicy) -> KeyRing | None:
    """Read the API keys, for ``policy`` to follow; None where there are to be none.

    Raises:
        SettingsError: There is no such file, or it cannot be used.
    """
    if path is None:
        return None
    try:
        return KeyRing(path, policy)
    except KeysFileError as error:
        raise SettingsError(f"{error} ({ENV_PREFIX}API_KEYS_FILE)") from error


def read_trust_policy(paths: Iterable[Path]) -> TrustPolicy:
    """Read the keys that versions must be signed with; no path, no such key.

    Raises:
        SettingsError: One cannot be used.
    """
    try:
        return read_trusted_keys(paths)
    except SigningKeyError as error:
        raise SettingsError(f"{error} ({ENV_PREFIX}TRUSTED_KEYS)") from error
