"""``keraserve-train keygen``: makes the pair of keys that versions are signed with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from app.artifacts.signing_keys import create_key
from app.errors import SigningKeyError
from training.commands import OK
from training.commands.passphrase import ask

_DESCRIPTION = """\
Makes a pair of Ed25519 keys, in PEM: FILE is the private one, which `keraserve-train sign` signs
versions with, and FILE.pub the public one, which servers are told of (KERASERVE_TRUSTED_KEYS). What
servers call the key is the name of the public file without its endings.

Who has the private key decides what those servers run: keep it where versions are signed, and
nowhere else. With --passphrase it is encrypted.

  keraserve-train keygen release.key
"""


def add_parser(commands: Any) -> None:
    """Add ``keygen`` to the subcommands."""
    parser = commands.add_parser(
        "keygen",
        help="make the keys to sign versions with",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where the private key goes")
    parser.add_argument(
        "--passphrase", action="store_true", help="ask for a passphrase, and encrypt it"
    )
    parser.set_defaults(handle=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Make the keys; say where they are.

    Raises:
        SigningKeyError: A file exists or cannot be written, or the passphrases differ.
    """
    public = create_key(arguments.file, _new_passphrase() if arguments.passphrase else None)
    print(f"made {arguments.file}, for you alone, and {public}, for servers")
    return OK


def _new_passphrase() -> bytes:
    first = ask("passphrase: ")
    if not first:
        raise SigningKeyError("the passphrase is empty; without --passphrase there is none")
    if ask("once more: ") != first:
        raise SigningKeyError("the two passphrases differ")
    return first
