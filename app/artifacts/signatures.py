"""``signatures.json``: who vouches for a version.

Each signature is Ed25519 over the bytes of ``manifest.json``, which names the model, the version
and the SHA-256 of every other file: who signs the manifest signs the version. It is the one file
that may come into a version folder after its publication, and no manifest lists it.

The library that computes signatures is imported where one is computed: who signs nothing and asks
for no signature does not wait for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, ValidationError

from app.artifacts.layout import SIGNATURES
from app.artifacts.plain_file import read_plain_file
from app.artifacts.record import Record
from app.errors import ArtifactError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CONTEXT: Final = b"keraserve version, signature schema 1\n"
"""Before what is signed: a key that signs other things as well has never signed this by chance."""

MAX_SIGNATURES: Final = 32
MAX_SIGNATURES_BYTES: Final = 64 * 1024
"""32 signatures take 9 kB."""

_KEY_ID_DIGITS = 16


class Signature(Record):
    """What one key says of a version; both in hexadecimal digits."""

    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]

    @property
    def key_id(self) -> str:
        """What people call the key by."""
        return key_id(bytes.fromhex(self.public_key))

    def is_of(self, manifest: bytes) -> bool:
        """Whether the holder of the key signed exactly these bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
            key.verify(bytes.fromhex(self.signature), CONTEXT + manifest)
        except (InvalidSignature, ValueError):  # 32 bytes that are no point of the curve
            return False
        return True


class _Document(Record):
    schema_version: Literal[1] = 1
    signatures: tuple[Signature, ...] = Field(max_length=MAX_SIGNATURES)


def key_id(public_key: bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a public key's 32 bytes."""
    return hashlib.sha256(public_key).hexdigest()[:_KEY_ID_DIGITS]


def read_signatures(folder: Path) -> tuple[Signature, ...]:
    """Return the signatures of a version, unverified; none where there is no such file.

    Raises:
        ArtifactError: The file is something else.
    """
    try:
        content = read_plain_file(folder / SIGNATURES, MAX_SIGNATURES_BYTES)
        return _Document.model_validate_json(content).signatures
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ArtifactError(f"{SIGNATURES} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ArtifactError(f"{SIGNATURES} is invalid at {where}: {first['msg']}") from None


def sign_version(folder: Path, manifest: bytes, key: Ed25519PrivateKey) -> bool:
    """Add the signature of a key to a version; what it signed before is replaced.

    Args:
        folder: Of the version.
        manifest: Of it, as it was read before the files were compared with it: the signature
            vouches for all of them.
        key: Whose.

    Returns:
        False where it has that signature already.

    Raises:
        ArtifactError: The signatures there cannot be read, or are too many.
        OSError: The signatures cannot be written.
    """
    mine = Signature(
        public_key=key.public_key().public_bytes_raw().hex(),
        signature=key.sign(CONTEXT + manifest).hex(),  # the same each time: Ed25519 has no chance
    )
    before = read_signatures(folder)
    if mine in before:
        return False
    others = tuple(signature for signature in before if signature.public_key != mine.public_key)
    if len(others) >= MAX_SIGNATURES:
        raise ArtifactError(f"{SIGNATURES} has {len(others)} signatures, the limit is that many")
    _write(folder, (*others, mine))
    return True


def _write(folder: Path, signatures: tuple[Signature, ...]) -> None:
    document = _Document(signatures=signatures).model_dump(mode="json")
    # A dot file is none of the version's: servers that look meanwhile find it as it was.
    part = folder / f".{SIGNATURES}-{secrets.token_hex(4)}"
    try:
        with part.open("x", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / SIGNATURES)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def unsigned_note(old: Path, new: Path) -> list[str]:
    """Return what is to be said where a signed version was published once more.

    Args:
        old: Folder of the version.
        new: Of the one that repeats it, ``<store>/<model>/<number>``.
    """
    found, old = read_signatures(old), old.resolve()
    if not found:
        return []
    who, name = ", ".join(signature.key_id for signature in found), f"{new.parent.name}:{new.name}"
    return [
        f"{new.parent.name}:{old.name} is signed by {who}, {name} by nobody: servers that ask for "
        f"signatures go on with the old one until `keraserve-train sign {name} --key FILE`"
    ]
