"""From what is named on a command line to files, in an order that depends on nothing else."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.bulk.records import STDIN, printable
from app.errors import ClientFaultError
from app.load.requests import MEDIA_TYPES

_SUFFIXES = tuple(MEDIA_TYPES)


class InputError(ClientFaultError):
    """What is named is not there, or holds no image."""


class Inputs:
    """The files that paths, folders and patterns mean; nothing is kept but the arguments.

    A file is taken whatever it is called and whatever it is. Of a folder, those are taken whose
    names end as images do (``.png``, ``.jpg``, …), sorted; what begins with a dot is left out, and
    links to folders are not followed. A pattern with ``*``, ``?`` or ``[`` that no file is called
    means what it matches, ``**`` any depth. Of both, pipes and devices are left out: nobody knows
    whether reading one ends. What several arguments mean, or several ``**``, is taken once.
    """

    def __init__(self, arguments: Sequence[str], *, recursive: bool = False) -> None:
        """Look at the arguments.

        Raises:
            InputError: One of them is not there; or there is no image at all.
        """
        self._arguments = [os.fspath(argument) for argument in arguments]
        self._recursive = recursive
        for argument in self._arguments:
            if not _is_there(argument) and not _is_pattern(argument):
                raise InputError(f"{argument} is not there")
        self.count = sum(1 for _ in self)
        """Files, when it was made."""
        if not self.count:
            raise InputError(self._nothing())

    def __iter__(self) -> Iterator[str]:
        """Yield the files, arguments in their order, the files of each sorted."""
        if len(self._arguments) == 1:
            yield from self._files_of(self._arguments[0])
            return
        seen: set[str] = set()
        for argument in self._arguments:
            for file in self._files_of(argument):
                name = os.path.normpath(file)
                if name not in seen:
                    seen.add(name)
                    yield file

    def _files_of(self, argument: str) -> Iterator[str]:
        if argument == STDIN:
            yield argument
        elif _is_there(argument):
            yield from self._expand(argument)
        else:
            yield from self._matches_of(argument)

    def _matches_of(self, pattern: str) -> Iterator[str]:
        any_depth = "**" in pattern
        # A pattern may be absolute, which Path.glob does not take; a set: ** twice matches twice.
        for match in sorted(set(glob.iglob(pattern, recursive=True))):  # noqa: PTH207
            if _is_folder(match):
                if not any_depth:  # else what is in it is matched by itself
                    yield from self._expand(match)
            elif _is_to_be_read(match):
                yield match

    def _expand(self, path: str) -> Iterator[str]:
        if _is_folder(path):
            yield from _walk(path, self._recursive)
        else:
            yield path

    def _nothing(self) -> str:
        named = ", ".join(self._arguments)
        if not self._recursive and any(_has_folders(argument) for argument in self._arguments):
            return f"no image in {named}; --recursive looks into the folders in it, too"
        return f"no image in {named} ({' '.join(sorted(_SUFFIXES))})"


def _is_there(argument: str) -> bool:
    return argument == STDIN or os.path.lexists(argument)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - that of a Path raises where a link leads nowhere


def _is_to_be_read(file: str | os.DirEntry[str]) -> bool:
    """Whether it is a file, or nobody can say, which reading it will tell."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)  # noqa: PTH116 - of thousands of files
    except OSError:
        return True


def _is_pattern(argument: str) -> bool:
    return glob.has_magic(argument)


def _walk(folder: str, recursive: bool) -> Iterator[str]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{printable(folder)} cannot be listed: {error.strerror}") from error
    folders = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.path)
        elif entry.name.lower().endswith(_SUFFIXES) and (
            entry.is_file(follow_symlinks=False) or _is_to_be_read(entry)
        ):
            yield entry.path
    if recursive:
        for inner in folders:
            yield from _walk(inner, recursive)


def _has_folders(path: str) -> bool:
    return Path(path).is_dir() and any(inner.is_dir() for inner in Path(path).iterdir())
