"""The layout of the CIFAR-10 archive: ``train/N_class.png``, ``test/N_class.png``, labels.txt."""

from __future__ import annotations

import re

from training.data.class_names import LABELS_FILE, check_class_names, parse_class_names
from training.data.dataset import DataError, SourceData, Wanted
from training.data.decoding import LabelledFile, decode_parts
from training.data.file_tree import FileTree

_MEMBER = re.compile(r"(train|test)/(\d+)_([^/]+)\.png")


def is_png_archive(tree: FileTree) -> bool:
    """Tell whether images lie directly in ``train`` or ``test``, under names of this layout."""
    return any(_MEMBER.fullmatch(name) for name in tree.images)


def read_png_archive(tree: FileTree, wanted: Wanted) -> SourceData:
    """Read the set, each part in the order of its numbers N.

    Raises:
        DataError: ``labels.txt`` or a part is missing, or does not fit the names.
    """
    if tree.labels is None:
        raise DataError(
            f"{tree.place} has no {LABELS_FILE}; expected train/N_class.png, test/N_class.png "
            f"and {LABELS_FILE}"
        )
    classes = parse_class_names(tree.labels, tree.place)
    check_class_names(classes, wanted, tree.place)
    parts = {part: _members(tree, part, classes) for part in ("train", "test")}
    splits, skipped = decode_parts(tree, parts, wanted)
    return SourceData(classes, train=splits["train"], test=splits["test"], skipped=skipped)


def _members(tree: FileTree, part: str, classes: tuple[str, ...]) -> list[LabelledFile]:
    found = sorted(
        (int(match[2]), match[3], name)
        for name in tree.images
        if (match := _MEMBER.fullmatch(name)) and match[1] == part
    )
    if not found:
        raise DataError(f"{tree.place} has no images named {part}/N_class.png")
    unknown = {label for _, label, _ in found} - set(classes)
    if unknown:
        raise DataError(
            f"{tree.place}: classes {sorted(unknown)} of {part}/ are not in {LABELS_FILE}"
        )
    return [LabelledFile(name, classes.index(label)) for _, label, name in found]
