"""``keraserve-train sign``: vouches for published versions with a key."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from app.artifacts.checksums import verify_files
from app.artifacts.layout import SIGNATURES
from app.artifacts.manifest import manifest_bytes, parse_manifest
from app.artifacts.signatures import key_id, sign_version
from app.artifacts.signing_keys import read_private_key
from app.errors import ArtifactError
from training.commands import OK
from training.commands.lookup import VERSION_HELP, add_models_dir, find_version
from training.commands.passphrase import ask

_DESCRIPTION = f"""\
Compares the files of a version with its manifest, and writes the signature of the manifest, which
has the SHA-256 of all of them, into {SIGNATURES} beside it. Servers that are told of the public key
(KERASERVE_TRUSTED_KEYS) serve no version without. Several keys may sign one version; signing with
the same key again changes nothing.

A version that is published once more (`upgrade`, `keraserve models export`) is a new version, and
not signed. Labels are no part of a version.

  keraserve-train keygen release.key
  keraserve-train sign cifar10:4 --key release.key
"""


def add_parser(commands: Any) -> None:
    """Add ``sign`` to the subcommands."""
    parser = commands.add_parser(
        "sign",
        help="sign published versions",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("versions", metavar="VERSION", nargs="+", help=VERSION_HELP)
    parser.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="private key, of `keygen`"
    )
    add_models_dir(parser)
    parser.set_defaults(handle=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Look at all versions first, then sign them.

    Raises:
        ArtifactError: There is no such version, or it is damaged; none is signed then.
        SigningKeyError: The key cannot be used.
    """
    folders = [find_version(arguments.models_dir, text) for text in arguments.versions]
    key = read_private_key(arguments.key, lambda: ask(f"passphrase of {arguments.key}: "))
    manifests = [_checked(folder) for folder in folders]
    who = key_id(key.public_key().public_bytes_raw())
    for folder, manifest in zip(folders, manifests, strict=True):
        is_new = sign_version(folder, manifest, key)
        print(f"{folder} is signed by {who}{'' if is_new else ' already'}")
    return OK


def _checked(folder: Path) -> bytes:
    """Return the manifest of a version that is whole."""
    try:
        content = manifest_bytes(folder)
        verify_files(folder, parse_manifest(content))
        return content
    except ArtifactError as error:
        raise ArtifactError(f"{folder}: {error}") from error
