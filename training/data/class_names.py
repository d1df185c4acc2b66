"""Which names the classes have, and in which order: ``labels.txt``, and the public sets."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from training.data.dataset import DataError, Wanted

LABELS_FILE = "labels.txt"
"""Names the classes, a line each, in the order of their ids."""


def parse_class_names(data: bytes, place: Path) -> tuple[str, ...]:
    """Return the names in the content of a ``labels.txt``.

    Args:
        data: UTF-8; empty lines do not count.
        place: Where it lies, for the error.

    Raises:
        DataError: Another encoding, fewer than two names, or one of them twice.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: {LABELS_FILE} is not UTF-8: {error}") from error
    classes = tuple(normal_name(line.strip()) for line in lines if line.strip())
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise DataError(f"{place}: {LABELS_FILE} must name two classes or more, each once")
    return classes


def normal_name(name: str) -> str:
    """Return the composed form: macOS writes the accents of file names as signs of their own."""
    return unicodedata.normalize("NFC", name)


def check_class_names(classes: tuple[str, ...], wanted: Wanted, place: Path) -> None:
    """Compare with the classes of a public set, in whatever order.

    Raises:
        DataError: Others.
    """
    if wanted.classes is not None and set(classes) != set(wanted.classes):
        raise DataError(
            f"{place}: the classes are {', '.join(classes)}; those of {wanted.name} are "
            f'{", ".join(wanted.classes)}. Your own classes need data.dataset = "images"'
        )
