"""The file of API keys: what stands in it, and how keys come and go.

    {"keys": [{"name": "ops-laptop", "scopes": ["admin"], "sha256": "…", "created_at": "…"}]}

Keys themselves are never stored. Their hash is a plain SHA-256: slow, salted hashes protect words
that people choose, and there is nothing to guess in 256 random bits.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from app.access.caller import RESERVED_NAMES, Scope
from app.errors import KeysFileError
from app.json_file import JsonFile

KEY_PREFIX = "ks_"
"""By it, people and scanners of leaked secrets know a key of ours."""

KEY_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"

_KEY_BYTES = 32
_MODE = 0o600  # the names and hashes are nobody's business; only who may write adds keys


def _refuse_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError("stands for callers without a key")
    return name


KeyName = Annotated[str, Field(pattern=KEY_NAME_PATTERN), AfterValidator(_refuse_reserved)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyEntry(_Record):
    """One key, as it is stored.

    Attributes:
        name: Whose or what for; stands in logs.
        scopes: What it allows.
        sha256: Of the whole key, prefix included; 64 hexadecimal digits.
        created_at: When.
    """

    name: KeyName
    scopes: tuple[Scope, ...] = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: AwareDatetime


class _Document(_Record):
    keys: tuple[KeyEntry, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for what in ("name", "sha256"):
            values = [getattr(key, what) for key in self.keys]
            if len(set(values)) < len(values):
                raise ValueError(f"two keys have the same {what}")
        return self


_CONTENT = TypeAdapter(_Document)
_NAME: TypeAdapter[str] = TypeAdapter(KeyName)


def digest_of(key: str) -> bytes:
    """Return what is stored of a key: 32 bytes."""
    return hashlib.sha256(key.encode()).digest()


def read_keys(path: Path) -> tuple[KeyEntry, ...]:
    """Return the keys of a file, in the order in which they were made.

    Raises:
        KeysFileError: There is none, it cannot be read, or is something else.
    """
    document = _file(path).read()
    if document is None:
        raise KeysFileError(f"{path} is not there; `keraserve keys create` makes it")
    return document.keys


def create_key(path: Path, name: str, scopes: Iterable[Scope]) -> str:
    """Make a key, and the file if there is none; return the key, which is stored nowhere.

    Several processes may do so at once: each reads what the one before has written.

    Args:
        path: The file.
        name: Of the new key; no other one may have it.
        scopes: What the key is to allow, at least one.

    Raises:
        KeysFileError: The name is taken or none, or the file cannot be read or written.
    """
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise KeysFileError(f"{name!r} cannot be the name of a key: {reason}") from None
    key = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    file = _file(path)
    with file.locked():
        document = file.read()
        keys = () if document is None else document.keys
        if any(entry.name == name for entry in keys):
            raise KeysFileError(f"{path} has a key {name} already; revoke it, or take another name")
        entry = KeyEntry(
            name=name,
            scopes=tuple(sorted(set(scopes))),
            sha256=digest_of(key).hex(),
            created_at=datetime.now(UTC).replace(microsecond=0),
        )
        _write(file, (*keys, entry))
    return key


def revoke_key(path: Path, name: str) -> None:
    """Take a key away.

    Raises:
        KeysFileError: No key is called so, or the file cannot be read or written.
    """
    read_keys(path)  # where there is no such file, no lock is left behind
    file = _file(path)
    with file.locked():
        keys = read_keys(path)
        rest = tuple(entry for entry in keys if entry.name != name)
        if len(rest) == len(keys):
            known = ", ".join(entry.name for entry in keys) or "none"
            raise KeysFileError(f"{path} has no key {name!r}; it has: {known}")
        _write(file, rest)


def _file(path: Path) -> JsonFile[_Document]:
    return JsonFile(path, _CONTENT, KeysFileError, mode=_MODE)


def _write(file: JsonFile[_Document], keys: tuple[KeyEntry, ...]) -> None:
    file.write(_Document(keys=keys).model_dump(mode="json"))
