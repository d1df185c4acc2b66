"""From what a person calls a version to its folder."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from app.artifacts.layout import MANIFEST
from app.errors import ArtifactError
from training.publishing.store import VERSION_PATTERN, model_versions

VERSION_HELP = "NAME (its newest version), NAME:NUMBER, NAME/NUMBER, or a version's folder"

_NUMBERED = re.compile(rf"([^:/]+)[:/]({VERSION_PATTERN})")


def add_models_dir(parser: argparse.ArgumentParser) -> None:
    """Add ``--models-dir``, which all commands that touch the store have."""
    parser.add_argument(
        "--models-dir",
        type=Path,
        default=Path("models"),
        metavar="DIR",
        help="the store of published versions (default: %(default)s)",
    )


def find_version(models_dir: Path, text: str) -> Path:
    """Return the folder of a version.

    What is in the store goes before a folder of the same name.

    Args:
        models_dir: Root of the store.
        text: As ``VERSION_HELP`` says.

    Raises:
        ArtifactError: There is no such version; the message names what there is.
    """
    store = model_versions(models_dir)
    if text in store:
        return models_dir / text / str(store[text][-1])
    numbered = _NUMBERED.fullmatch(text)
    if numbered and int(numbered[2]) in store.get(numbered[1], ()):
        return models_dir / numbered[1] / numbered[2]
    folder = Path(text)
    if (folder / MANIFEST).is_file():
        return folder
    if numbered and numbered[1] in store:
        there = ", ".join(map(str, store[numbered[1]]))
        raise ArtifactError(
            f"{models_dir} has no version {numbered[2]} of {numbered[1]}, it has {there}"
        )
    there = ", ".join(store) or "nothing"
    raise ArtifactError(f"no version {text!r}: {models_dir} holds {there}; give {VERSION_HELP}")
