"""``keraserve models export``: the network of a version once more, for the openvino engine."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from app.artifacts.checksums import verify_files
from app.artifacts.layout import OPENVINO_MODEL
from app.artifacts.manifest import Manifest
from app.artifacts.republish import republish_version
from app.artifacts.signatures import unsigned_note
from app.errors import ArtifactError
from app.settings import load_settings

_DESCRIPTION = """\
Publishes a version once more, under the next number, with its network exported for the openvino
engine, which executes it on hosts without a GPU several times as fast, without TensorFlow. Training
does so by itself: this is for versions of before. A published version never changes; the old one
stays as it is. A signature is of one version: sign the new one, too.

With --to the export alone is written into a new folder, and nothing is published.
"""


def add_export_command(model_commands: Any) -> None:
    """Add the command to the parsers of ``keraserve models``."""
    export = model_commands.add_parser(
        "export",
        help="publish a version once more, exported for CPUs",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument("folder", type=Path, metavar="FOLDER", help="for example models/cifar10/3")
    export.add_argument("--to", type=Path, metavar="FOLDER", help="write the export here instead")
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # as in `serve`
    folder: Path = options.folder
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is no folder")
    manifest = load_settings().trust_policy().read(folder)
    if options.to is not None:
        _write_export(folder, manifest, options.to)
        print(f"exported {manifest.name}:{manifest.version} to {options.to}")
        return 0
    if (folder / OPENVINO_MODEL).is_file():
        print(f"nothing to export: {manifest.name}:{manifest.version} has {OPENVINO_MODEL}")
        return 0
    place = folder.resolve()
    if (place.parent.name, place.name) != (manifest.name, str(manifest.version)):
        raise ArtifactError(f"{folder} is not in a store, {manifest.name}/{manifest.version}")
    verify_files(folder, manifest)
    published = republish_version(
        place,
        manifest,
        place.parents[1],
        add=lambda staging: _write_export(place, manifest, (staging / OPENVINO_MODEL).parent),
    )
    print(f"published {published}")
    for line in unsigned_note(place, published):
        print(line)
    return 0


def _write_export(folder: Path, manifest: Manifest, target: Path) -> None:
    if target.exists():
        raise ArtifactError(f"{target} exists")
    try:
        from app.runtime.openvino_export import export_openvino  # here: it imports both engines
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"exporting takes TensorFlow and OpenVINO, {error.name} is missing: install "
            "keraserve[cpu,tensorflow-cpu] (`make train` does)"
        ) from error
    export_openvino(folder, manifest, target)
