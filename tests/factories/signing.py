"""Keys and signatures of versions."""

from __future__ import annotations

from pathlib import Path

from app.artifacts.manifest import manifest_bytes
from app.artifacts.signatures import sign_version
from app.artifacts.signing_keys import create_key, read_private_key, read_trusted_keys
from app.artifacts.trust import TrustPolicy


def make_key(folder: Path, name: str = "release") -> Path:
    """Make ``name.key`` and ``name.key.pub``; return the private one."""
    path = folder / f"{name}.key"
    create_key(path)
    return path


def public_of(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")


def trust_in(*keys: Path) -> TrustPolicy:
    return read_trusted_keys(map(public_of, keys))


def sign(folder: Path, key: Path) -> bool:
    """Sign a version as it is, damaged or not."""
    return sign_version(folder, manifest_bytes(folder), read_private_key(key, no_passphrase))


def no_passphrase() -> bytes:
    raise AssertionError("it is not encrypted")
