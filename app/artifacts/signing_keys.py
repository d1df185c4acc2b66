"""The files of signing keys: PEM, as OpenSSL and every other tool read and write them."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from app.artifacts.trust import TrustedKey, TrustPolicy
from app.errors import SigningKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

logger = logging.getLogger(__name__)

PUBLIC_SUFFIX = ".pub"

_MAX_BYTES = 64 * 1024  # a PEM file of one key has 120
_OTHERS_READ = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def create_key(path: Path, passphrase: bytes | None = None) -> Path:
    """Make a pair of keys: the private one at ``path``, for its owner alone, and ``path.pub``.

    Args:
        path: Neither it nor the file of the public key may exist.
        passphrase: Encrypts the private one; None leaves it plain.

    Returns:
        The file of the public key.

    Raises:
        SigningKeyError: One of the files exists, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    lock = pem.BestAvailableEncryption(passphrase) if passphrase else pem.NoEncryption()
    private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, lock)
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    public_path = path.with_name(path.name + PUBLIC_SUFFIX)
    if public_path.exists():
        raise SigningKeyError(f"{public_path} exists; a key is never replaced")
    _write_new(path, private, 0o600)
    _write_new(public_path, public, 0o644)
    return public_path


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        raise SigningKeyError(f"{path} exists; a key is never replaced") from None
    except OSError as error:
        raise SigningKeyError(f"{path} cannot be written: {error.strerror}") from error


def read_private_key(path: Path, ask_passphrase: Callable[[], bytes]) -> Ed25519PrivateKey:
    """Read the key to sign with.

    Args:
        path: PEM, PKCS #8.
        ask_passphrase: Called where it is encrypted.

    Raises:
        SigningKeyError: It cannot be read, others than its owner may read it, it is of another
            kind, or the passphrase is wrong.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content, mode = _read(path)
    if b"PUBLIC KEY" in content:  # which everybody may read
        raise SigningKeyError(
            f"{path} is a public key, which nobody can sign with: give its private half, "
            f"{path.name.removesuffix(PUBLIC_SUFFIX)}"
        )
    if mode & _OTHERS_READ:
        raise SigningKeyError(
            f"{path} has the permissions {mode:04o}: others than its owner may read it, and sign "
            f"with it. Take them away (chmod 600 {path}), and think about a new key"
        )
    try:
        try:
            key = load_pem_private_key(content, None)
        except TypeError:  # what the library says of one that is encrypted
            key = load_pem_private_key(content, ask_passphrase())
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise SigningKeyError(
            f"{path} is no private key in PEM (PKCS #8), or the passphrase is another one"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(f"{path} is no Ed25519 key; `keraserve-train keygen` makes one")
    return key


def read_trusted_keys(paths: Iterable[Path]) -> TrustPolicy:
    """Read the public keys of those whose versions are served.

    Args:
        paths: Files of public keys, and folders, of which every ``*.pub`` counts.

    Raises:
        SigningKeyError: One cannot be read or is none, or a folder has none.
    """
    return TrustPolicy(tuple(_read_public_key(path) for path in _files(paths)))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.glob(f"*{PUBLIC_SUFFIX}"))
        if not found:
            raise SigningKeyError(f"{path} holds no public key, *{PUBLIC_SUFFIX}")
        yield from found


def _read_public_key(path: Path) -> TrustedKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content, mode = _read(path)
    if b"PRIVATE KEY" in content:
        raise SigningKeyError(
            f"{path} is a private key, which a server must not have: give its public half, "
            f"{path.name}{PUBLIC_SUFFIX}"
        )
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise SigningKeyError(f"{path} is no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SigningKeyError(f"{path} is no Ed25519 key; `keraserve-train keygen` makes one")
    if mode & _OTHERS_WRITE:
        fields = {"file": str(path), "permissions": f"{mode:04o}"}
        logger.warning("others may write a trusted key, and decide what is served", extra=fields)
    return TrustedKey(path.name.split(".")[0], key.public_bytes_raw())


def _read(path: Path) -> tuple[bytes, int]:
    """Return content and permissions."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SigningKeyError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise SigningKeyError(f"{path} has more than {_MAX_BYTES:,} bytes, and is no key")
    return content, mode
