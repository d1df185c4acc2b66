"""``keraserve keys create``, ``list`` and ``revoke``: on the file of API keys."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from app.access.caller import Scope
from app.access.keys_file import create_key, read_keys, revoke_key
from app.errors import KeysFileError, ServerFaultError
from app.settings import ENV_PREFIX, SettingsError, load_settings
from app.text_table import text_table

_SETTING = f"{ENV_PREFIX}API_KEYS_FILE"

_CREATE_DESCRIPTION = f"""\
Makes an API key, prints it once on standard output, and writes its SHA-256 into the file of keys,
which is made if there is none. Servers that were started with that file ({_SETTING})
notice, also in a container if the folder of the file is mounted there, not the file.

scopes:
  infer      classify, and see which models there are
  metrics    read /metrics
  admin      change what is served; includes the others

  keraserve keys create photo-app --scope infer --file keys.json
  (umask 077; keraserve keys create prometheus --scope metrics --file keys.json > prometheus.key)
"""


class KeyNotShownError(ServerFaultError):
    """The new key could not be printed, and is known to nobody."""


def add_keys_commands(key_commands: Any) -> None:
    """Add the commands to the parsers of ``keraserve keys``."""
    create = key_commands.add_parser(
        "create",
        help="make a key and print it once",
        description=_CREATE_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    create.add_argument("name", metavar="NAME", help="whose or what for; stands in logs")
    create.add_argument(
        "--scope",
        action="append",
        required=True,
        dest="scopes",
        choices=[scope.value for scope in Scope],
        metavar="SCOPE",
        help="infer, metrics or admin; may be given several times",
    )
    create.set_defaults(command=_create)
    listing = key_commands.add_parser(
        "list",
        help="list the keys",
        description="List the names, scopes and ages of the keys. The keys themselves are stored "
        "nowhere.",
    )
    listing.set_defaults(command=_list)
    revoke = key_commands.add_parser(
        "revoke",
        help="take a key away",
        description="Take a key out of the file. Running servers notice and refuse it from then "
        "on, also in a container if the folder of the file is mounted there, not the file: a "
        "file that is mounted by itself stays the old one until a restart.",
    )
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(command=_revoke)
    for command in (create, listing, revoke):
        command.add_argument("--file", metavar="FILE", help=f"the file of keys [{_SETTING}]")


def _path(options: argparse.Namespace) -> Path:
    path = load_settings(api_keys_file=options.file).api_keys_file
    if path is None:
        raise SettingsError(f"which file of keys? Give --file FILE, or set {_SETTING}")
    return path


def _create(options: argparse.Namespace) -> int:
    path, name = _path(options), options.name
    is_new = not path.exists()
    key = create_key(path, name, map(Scope, options.scopes))
    try:
        _show(key)
    except OSError as error:
        fault = f"the key {name} could not be shown ({error.strerror or error})"
        try:
            revoke_key(path, name)
        except KeysFileError as second:
            raise KeyNotShownError(f"{fault} and is still to be revoked: {second}") from error
        raise KeyNotShownError(f"{fault} and is taken away again") from error
    scopes = ", ".join(sorted(set(options.scopes)))
    hints = [
        f"{name} may: {scopes}. The key is shown this once; {path} holds its SHA-256 only.",
        'Send it as: curl -H "Authorization: Bearer $KEY" …',
    ]
    if is_new:
        hints.append(f"{path} is new: start the server with {_SETTING}={path}.")
    for hint in hints:
        print(f"keraserve: {hint}", file=sys.stderr)
    return 0


def _show(key: str) -> None:
    if sys.stdout is None:
        raise OSError("standard output is closed")
    try:
        print(key, flush=True)
    except OSError:
        # What could not be written stays in the buffer and would be tried once more at our end.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _list(options: argparse.Namespace) -> int:
    path = _path(options)
    keys = read_keys(path)
    if not keys:
        print(f"{path} has no key: servers with this file let nobody in.")
        return 0
    table = [("NAME", "SCOPES", "CREATED")]
    table += [
        (entry.name, ",".join(entry.scopes), f"{entry.created_at:%Y-%m-%d %H:%M %Z}")
        for entry in keys
    ]
    for line in text_table(table, left=range(3)):
        print(line)
    return 0


def _revoke(options: argparse.Namespace) -> int:
    path = _path(options)
    revoke_key(path, options.name)
    print(f"{path} has no key {options.name} any more")
    return 0
