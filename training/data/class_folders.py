"""A folder of class folders: ``train/<class>/*.jpg``, ``val`` and ``test`` where there are any."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from training.data.class_names import (
    LABELS_FILE,
    check_class_names,
    normal_name,
    parse_class_names,
)
from training.data.dataset import DataError, SourceData, Wanted
from training.data.decoding import LabelledFile, decode_parts
from training.data.file_tree import FileTree, part_of

logger = logging.getLogger(__name__)


def has_class_folders(tree: FileTree) -> bool:
    """Tell whether images lie in folders that can be those of classes."""
    names = (name.split("/") for name in tree.images)
    return any(len(name) > (2 if part_of(name[0]) else 1) for name in names)


def read_class_folders(tree: FileTree, wanted: Wanted) -> SourceData:
    """Read the set: parts, then classes, then names, each sorted by code point.

    Without a ``train`` folder the folders themselves are the classes. Folders below that of a
    class belong to it.

    Raises:
        DataError: A part or a class has no images, the parts have different classes, there is
            only one, or decoding fails.
    """
    folders = _part_folders(tree)
    files = {part: _files_by_class(tree, folder) for part, folder in folders.items()}
    classes = _classes(tree, files["train"], wanted)
    for part, by_class in files.items():
        _check_part(tree, part, folders[part], by_class, classes)
    _tell_ignored(tree, files, folders)
    parts = {
        part: [
            LabelledFile(name, label)
            for label, class_name in enumerate(classes)
            for name in by_class.get(class_name, ())
        ]
        for part, by_class in files.items()
    }
    splits, skipped = decode_parts(tree, parts, wanted)
    return SourceData(
        classes,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        skipped=skipped,
    )


def _part_folders(tree: FileTree) -> dict[str, str]:
    """Return part and folder, e.g. ``validation: val/``; of training, ``""`` is the root."""
    found: dict[str, str] = {}
    for folder in sorted(tree.folders):
        part = None if "/" in folder else part_of(folder)
        if part is None:
            continue
        if part in found:
            raise DataError(f"{tree.place} has both {found[part]} and {folder}/; one must go")
        found[part] = f"{folder}/"
    if found and "train" not in found:
        raise DataError(f"{tree.place} has {', '.join(found.values())} but no train/")
    order = [part for part in ("train", "validation", "test") if part in found]
    return {part: found[part] for part in order} or {"train": ""}


def _files_by_class(tree: FileTree, folder: str) -> dict[str, list[str]]:
    """Return class and images of one part; a class folder without any is there as well."""
    found: dict[str, list[str]] = {}
    for name in tree.folders:
        below = name[len(folder) :]
        if name.startswith(folder) and below and "/" not in below:
            found.setdefault(normal_name(below), [])
    for name in tree.images:
        class_folder, inside, _ = name[len(folder) :].partition("/")
        if name.startswith(folder) and inside:
            found[normal_name(class_folder)].append(name)
    return found


def _classes(tree: FileTree, train: Mapping[str, list[str]], wanted: Wanted) -> tuple[str, ...]:
    found = tuple(sorted(train))
    if tree.labels is None:
        check_class_names(found, wanted, tree.place)
        return found
    classes = parse_class_names(tree.labels, tree.place)
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise DataError(f"{tree.place}: classes {unknown} are not in {LABELS_FILE}")
    check_class_names(classes, wanted, tree.place)
    return classes


def _check_part(
    tree: FileTree,
    part: str,
    folder: str,
    by_class: Mapping[str, list[str]],
    classes: tuple[str, ...],
) -> None:
    place = tree.place / folder
    if not any(by_class.values()):
        raise DataError(f"{place} has no images in class folders")
    if part == "train":
        if len(classes) < 2:
            raise DataError(f"{place} has one class only, {classes[0]!r}; at least 2 are needed")
        for name in classes:
            if not by_class.get(name):
                raise DataError(f"class {name!r} has no images in {place / name}")
        return
    unknown = sorted(set(by_class) - set(classes))
    if unknown:
        raise DataError(f"classes {unknown} of {place} have no training images")
    for name in classes:
        if not by_class.get(name):
            logger.warning("class without images", extra={"part": part, "class_name": name})


def _tell_ignored(
    tree: FileTree,
    files: Mapping[str, Mapping[str, list[str]]],
    folders: Mapping[str, str],
) -> None:
    used = sum(len(names) for by_class in files.values() for names in by_class.values())
    if used == len(tree.images):
        return
    starts = tuple(folders.values())
    outside = Counter(
        name.split("/")[0] + "/" if "/" in name else "."
        for name in tree.images
        if not name.startswith(starts) or "/" not in _below(name, starts)
    )
    logger.warning(
        "images outside of class folders are ignored",
        extra={"images": len(tree.images) - used, "places": ", ".join(sorted(outside))},
    )


def _below(name: str, starts: tuple[str, ...]) -> str:
    return next(name[len(start) :] for start in starts if name.startswith(start))
