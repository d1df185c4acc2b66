"""``keraserve models list``, ``check`` and ``label``: commands on the folder of a store."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.artifacts.checksums import verify_files
from app.commands.admin import add_server_options, is_for_server, order_label
from app.errors import ArtifactError
from app.registry.labels import set_label
from app.registry.store import ModelStore
from app.settings import ENV_PREFIX, SettingsError, load_settings
from app.text_table import text_table
from app.types import ServableId

_CHECK_DESCRIPTION = """\
Does with one version folder what a server does before it serves it: compares the files with the
manifest, loads the network with the engine and precision of the settings, executes every allowed
batch size, and compares its answers with the probabilities that training recorded in samples.npz.
Exit code 0: it would be served; 1: it would not, with the reason.
"""

_LABEL_DESCRIPTION = """\
Writes labels.json of the store; running servers notice. With --url it asks a server to do so. A
request names the label in place of a version (?label=canary), and the version that it points at is
served beside those of the policy.

The label `stable` says which version answers where none is asked for. Without it that is the
newest one; with it, newer ones are served but have to be asked for.

  keraserve models label cifar10 stable 2      roll back to version 2, and stay there
  keraserve models label cifar10 stable --remove      follow the newest one again
"""


def add_store_commands(model_commands: Any) -> None:
    """Add the commands to the parsers of ``keraserve models``."""
    listing = model_commands.add_parser(
        "list",
        help="list the versions in the store",
        description="List every version in the store, whether its files are whole, and who signed "
        "it: trusted keys by their names, others by their ids.",
    )
    listing.add_argument(
        "--model-dir", metavar="FOLDER", help=f"the store [{ENV_PREFIX}MODEL_DIR, default: models]"
    )
    listing.set_defaults(command=_list_models)

    check = model_commands.add_parser(
        "check",
        help="load one version as a server would, and test it",
        description=_CHECK_DESCRIPTION,
    )
    check.add_argument("folder", type=Path, metavar="FOLDER", help="for example models/cifar10/1")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.set_defaults(command=_check_model)
    label = model_commands.add_parser(
        "label",
        help="call a version by a name",
        description=_LABEL_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    label.add_argument("name", metavar="MODEL")
    label.add_argument("label", metavar="LABEL")
    label.add_argument("version", metavar="VERSION", nargs="?", type=int)
    label.add_argument("--remove", action="store_true", help="take the label away")
    label.add_argument(
        "--model-dir", metavar="FOLDER", help=f"the store [{ENV_PREFIX}MODEL_DIR, default: models]"
    )
    add_server_options(label, is_asked=False)
    label.set_defaults(command=_label_version)


def _store_root(model_dir: str | None) -> Path:
    root = load_settings(model_dir=model_dir).model_dir
    if not root.is_dir():
        raise SettingsError(f"the model store {root} is no folder ({ENV_PREFIX}MODEL_DIR)")
    return root


def _list_models(options: argparse.Namespace) -> int:
    root = _store_root(options.model_dir)
    rows, broken = _rows(ModelStore(root, load_settings().trust_policy()))
    if not rows:
        print(f"{root} holds no published version; `keraserve-train run cifar10` makes one.")
        return 0
    header = (
        "MODEL",
        "VERSION",
        "ARCHITECTURE",
        "PARAMETERS",
        "ACCURACY",
        "CREATED",
        "SIGNED BY",
        "FILES",
    )
    for line in text_table([header, *rows], left=range(len(header))):
        print(line)
    return 1 if broken else 0


def _check_model(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # as in _serve
    settings = load_settings()
    policy, trust = settings.engine_policy(), settings.trust_policy()
    from app.version_check import check_version  # imported here, as the server is

    try:
        found = check_version(options.folder, policy, trust)
    except ArtifactError as error:
        if options.json:
            print(json.dumps({"ok": False, "reason": str(error)}))
        else:
            print(f"{options.folder}: {error}")
        return 1
    if options.json:
        print(json.dumps({"ok": True, **asdict(found)}))
    else:
        print(
            f"{options.folder}: {found.servable} would be served "
            f"({found.engine}, {found.precision}, {found.device}); "
            f"{found.top1_agreement:.2%} of {found.samples} samples get the recorded label, "
            f"largest deviation {found.max_deviation:.2g}; "
            f"signed by {'; '.join(found.signed_by) or 'nobody'}"
        )
    return 0


def _label_version(options: argparse.Namespace) -> int:
    if (options.version is None) != options.remove:
        raise SettingsError("give a version, or --remove")
    if is_for_server(options):
        return order_label(options)
    root, name = _store_root(options.model_dir), options.name
    versions = ModelStore(root).versions(name)
    if not options.remove and options.version not in versions:
        known = ", ".join(map(str, versions)) or "none"
        raise SettingsError(f"{root} has no version {options.version} of {name}; it has: {known}")
    set_label(root, name, options.label, options.version)
    if options.remove:
        print(f"{name} has no label {options.label} any more")
    else:
        print(f"{options.label} is {name}:{options.version}")
    return 0


def _rows(store: ModelStore) -> tuple[list[tuple[str, ...]], bool]:
    rows: list[tuple[str, ...]] = []
    broken = False
    for name in store.models():
        for version in store.versions(name):
            stored = store.locate(ServableId(name, version))
            try:
                manifest = store.read(stored.id)
                verify_files(stored.folder, manifest)
                signers = "; ".join(store.trust.signers(stored.folder)) or "-"
            except ArtifactError as error:
                broken = True
                rows.append((name, str(version), *["-"] * 5, f"FAILED: {error}"))
                continue
            accuracy = manifest.metrics.get("test_accuracy")
            rows.append(
                (
                    name,
                    str(version),
                    manifest.architecture,
                    f"{manifest.parameters:,}",
                    "-" if accuracy is None else f"{accuracy:.4f}",
                    f"{manifest.created_at:%Y-%m-%d %H:%M}",
                    signers,
                    "whole",
                )
            )
    return rows, broken
