"""``keraserve-train list``, ``show``, ``compare`` and ``remove``: what is published."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from app.artifacts.manifest import Manifest, read_manifest
from app.errors import ArtifactError
from training.commands import OK
from training.commands.lookup import VERSION_HELP, add_models_dir, find_version
from training.commands.tables import columns
from training.commands.version_texts import (
    HEADER,
    RIGHT,
    compare,
    describe,
    gate_text,
    row,
    size_bytes,
    unreadable_row,
)
from training.publishing.store import model_versions, remove_version

_REMOVE = """\
Removes one version at once. Its number is not given out again. The last good version of a model
(readable, let through by its gate, every file as its manifest says) stays, unless --force is given.
"""


def add_parser(commands: Any) -> None:
    """Add the four subcommands."""
    listing = commands.add_parser("list", help="list the published versions", allow_abbrev=False)
    listing.add_argument("--json", action="store_true", help="print a JSON array")
    listing.set_defaults(handle=_list)

    show = commands.add_parser("show", help="say everything about one version", allow_abbrev=False)
    show.add_argument("version", metavar="VERSION", help=VERSION_HELP)
    show.add_argument("--json", action="store_true", help="print the manifest itself")
    show.set_defaults(handle=_show)

    comparison = commands.add_parser(
        "compare", help="set two versions side by side", allow_abbrev=False
    )
    comparison.add_argument("a", metavar="A", help=VERSION_HELP)
    comparison.add_argument("b", metavar="B", help="the same; differences are B less A")
    comparison.set_defaults(handle=_compare)

    remove = commands.add_parser(
        "remove", help="remove one version", description=_REMOVE, allow_abbrev=False
    )
    remove.add_argument(
        "version", metavar="VERSION", help="NAME:NUMBER, NAME/NUMBER, or its folder"
    )
    remove.add_argument(
        "--force", action="store_true", help="remove the last good version of a model too"
    )
    remove.set_defaults(handle=_remove)
    for command in (listing, show, comparison, remove):
        add_models_dir(command)


def _list(arguments: argparse.Namespace) -> int:
    readable: list[tuple[Path, Manifest]] = []
    broken: list[tuple[Path, str]] = []
    rows: list[tuple[str, ...]] = [HEADER]
    for name, numbers in model_versions(arguments.models_dir).items():
        for number in numbers:
            folder = arguments.models_dir / name / str(number)
            try:
                manifest = read_manifest(folder)
            except ArtifactError as error:
                broken.append((folder, str(error)))
                rows.append(unreadable_row(name, number))
            else:
                readable.append((folder, manifest))
                rows.append(row(manifest))
    if arguments.json:
        print(json.dumps(_documents(readable, broken), indent=2))
    elif len(rows) == 1:
        print(f"no published versions in {arguments.models_dir}")
    else:
        lines = columns(rows, right=RIGHT)
        print("\n".join([*lines, *(f"{folder}: {reason}" for folder, reason in broken)]))
    return OK


def _documents(
    readable: list[tuple[Path, Manifest]], broken: list[tuple[Path, str]]
) -> list[dict[str, Any]]:
    return [
        {
            "model": manifest.name,
            "version": manifest.version,
            "folder": str(folder),
            "metrics": manifest.metrics,
            "gate": gate_text(manifest.gate),
            "architecture": manifest.architecture,
            "parameters": manifest.parameters,
            "size_bytes": size_bytes(manifest),
            "created_at": manifest.created_at.isoformat(),
        }
        for folder, manifest in readable
    ] + [
        {
            "model": folder.parent.name,
            "version": int(folder.name),
            "folder": str(folder),
            "error": reason,
        }
        for folder, reason in broken
    ]


def _show(arguments: argparse.Namespace) -> int:
    folder = find_version(arguments.models_dir, arguments.version)
    manifest = _read(folder)
    if arguments.json:
        print(manifest.to_json(), end="")
    else:
        print("\n".join(describe(manifest, folder)))
    return OK


def _compare(arguments: argparse.Namespace) -> int:
    a, b = (find_version(arguments.models_dir, text) for text in (arguments.a, arguments.b))
    print("\n".join(compare(_read(a), _read(b), (a, b))))
    return OK


def _remove(arguments: argparse.Namespace) -> int:
    if arguments.version in model_versions(arguments.models_dir):
        raise ArtifactError(
            f"{arguments.version} is a model: name the version to remove, as "
            f"{arguments.version}:NUMBER"
        )
    folder = find_version(arguments.models_dir, arguments.version)
    remove_version(folder, force=arguments.force)
    print(f"removed {folder}")
    return OK


def _read(folder: Path) -> Manifest:
    try:
        return read_manifest(folder)
    except ArtifactError as error:
        raise ArtifactError(f"{folder}: {error}") from error
