"""A folder or an archive of images, looked at as one thing."""

from __future__ import annotations

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.data.class_names import LABELS_FILE
from training.data.dataset import DataError

_DECODED = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff",
)  # fmt: skip
# Listed as unreadable, with that reason, instead of being overlooked.
_NOT_DECODED = (".heic", ".heif", ".avif", ".jxl", ".jp2")

PART_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""Folder name in small letters, and the part it holds."""

READ_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,  # of zipfile: encrypted, or packed by a method that Python lacks
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What reading a file out of a folder or an archive can raise."""


@dataclass(frozen=True, slots=True)
class FileTree:
    """The images of a set; names are relative to its root, with ``/``.

    Attributes:
        place: The folder or archive, for messages.
        images: Names of the images, sorted; nothing hidden.
        folders: All folders, also those without images.
        others: The rest of the files, but for ``labels.txt``.
        labels: Content of the ``labels.txt`` in the root, if there is one.
        read: Content of an image; from many threads at once. Raises one of ``READ_ERRORS``.
    """

    place: Path
    images: tuple[str, ...]
    folders: frozenset[str]
    others: tuple[str, ...]
    labels: bytes | None
    read: Callable[[str], bytes]


@contextmanager
def open_tree(path: Path) -> Iterator[FileTree]:
    """Look into a folder, a ``.zip`` or a ``.tar``, packed in any way that Python knows.

    Raises:
        DataError: No archive, damaged, or a folder that may not be looked into.
    """
    if path.is_dir():
        files, folders = _walk(path)
        yield _tree(path, files, folders, lambda name: _read_file(path / name))
    elif zipfile.is_zipfile(path):
        with _open_zip(path) as archive:
            entries = {_clean(entry.filename): entry for entry in archive.infolist()}
            files = [name for name, entry in entries.items() if not entry.is_dir()]
            folders = [name for name, entry in entries.items() if entry.is_dir()]
            yield _tree(path, files, folders, lambda name: archive.read(entries[name]))
    else:
        contents, folders = _read_tar(path)
        yield _tree(path, contents, folders, lambda name: _unless_link(contents[name]))


def is_image(name: str) -> bool:
    """Tell whether a file means to be an image, by its name."""
    return PurePosixPath(name).suffix.lower() in _DECODED + _NOT_DECODED


def part_of(folder: str) -> str | None:
    """Return the part that a top-level folder holds: ``train``, ``validation``, ``test``."""
    return PART_FOLDERS.get(folder.lower())


# ---- one kind of place each -----------------------------------------------------------------


def _walk(path: Path) -> tuple[list[str], list[str]]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error

    files: list[str] = []
    folders: list[str] = []
    seen: set[str] = set()  # links may lead back up
    for folder, subfolders, names in os.walk(path, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        below = Path(folder).relative_to(path)
        folders += [(below / name).as_posix() for name in subfolders]
        files += [(below / name).as_posix() for name in names]
    return files, folders


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        raise OSError("no file, or a link to none")  # a pipe would wait for ever
    return path.read_bytes()


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except READ_ERRORS as error:
        raise DataError(f"{path} is no readable archive of images: {error}") from error


def _read_tar(path: Path) -> tuple[dict[str, bytes | None], list[str]]:
    """Read all images: a gzipped archive cannot be entered in the middle. None is a link."""
    contents: dict[str, bytes | None] = {}
    folders: list[str] = []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = _clean(member.name)
                if member.isdir():
                    folders.append(name)
                elif not (is_image(name) or PurePosixPath(name).name == LABELS_FILE):
                    contents[name] = b""
                elif member.isfile():
                    file = archive.extractfile(member)
                    assert file is not None, "isfile() was checked"
                    contents[name] = file.read()
                else:
                    contents[name] = None
    except (tarfile.TarError, *READ_ERRORS) as error:
        raise DataError(
            f"{path} is no .npz, and no readable archive (.zip, .tar, .tar.gz) of images: {error}"
        ) from error
    return contents, folders


def _unless_link(content: bytes | None) -> bytes:
    if content is None:
        raise OSError("a link inside the archive; unpack it and name the folder")
    return content


# ---- what they have in common ---------------------------------------------------------------


def _clean(name: str) -> str:
    return PurePosixPath(name.lstrip("/")).as_posix()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _tree(
    place: Path, files: Iterable[str], folders: Collection[str], read: Callable[[str], bytes]
) -> FileTree:
    shown = [name for name in files if not _is_hidden(name)]
    images = [name for name in shown if is_image(name)]
    root = _root(images, packed=place.is_file())
    start = len(root)
    above = {folder.as_posix() for name in shown for folder in PurePosixPath(name).parents}
    inside = {folder for folder in above.union(folders) if not _is_hidden(folder)}
    labels = root + LABELS_FILE
    return FileTree(
        place=place,
        # Sorted by what is read, not by how the disk or the archive lists it: the same files are
        # the same set, whatever machine they lie on.
        images=tuple(sorted(name[start:] for name in images if name.startswith(root))),
        folders=frozenset(folder[start:] for folder in inside if folder.startswith(root)),
        others=tuple(sorted(name for name in shown if not is_image(name) and name != labels)),
        labels=_read_labels(place, labels, read) if labels in shown else None,
        read=lambda name: read(root + name),
    )


def _read_labels(place: Path, name: str, read: Callable[[str], bytes]) -> bytes:
    try:
        return read(name)
    except READ_ERRORS as error:
        raise DataError(f"{place}: {name} cannot be read: {error}") from error


def _root(images: Collection[str], *, packed: bool) -> str:
    """Return what to cut off all names: the folder that holds everything, with its ``/``.

    Archives usually have one above the set; in a folder it is believed only where a train folder
    shows it, as it could be a lone class.
    """
    folders = {name.rpartition("/")[0] for name in images}
    if not folders or "" in folders:
        return ""
    common = [folder for folder in os.path.commonpath(folders).split("/") if folder]
    for depth, folder in enumerate(common):
        if part_of(folder) is not None:
            return _joined(common[:depth])
    below = {name.split("/")[len(common)] for name in folders if name.count("/") >= len(common)}
    if packed or "train" in {part_of(folder) for folder in below}:
        is_class = len(folders) == 1
        return _joined(common[:-1] if is_class else common)
    return ""


def _joined(folders: list[str]) -> str:
    return "".join(f"{folder}/" for folder in folders)
