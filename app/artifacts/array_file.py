"""Reads ``.npz`` files that others may have damaged or made up: checked unread, never unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.artifacts.archive import open_archive
from app.errors import ArtifactError

MAX_BYTES = 512 * 1024**2
"""Of all arrays of a file unpacked: they are held in memory as a whole. 10,000 images of 32×32×3
are 31 MB, 1,000 of 224×224×3 are 151 MB."""

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes


def read_arrays(
    path: Path,
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    skipped: Collection[str] = (),
) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file by their names; what they hold is for the caller to check.

    Args:
        path: The file.
        required: Arrays that it must have.
        optional: Arrays that it may have; it may have no others.
        skipped: Arrays that are not read.

    Raises:
        ArtifactError: The file is missing or damaged, has other arrays, or would take more than
            ``MAX_BYTES``.
    """
    with _opened(path) as archive:
        _check_members(archive, required, optional)
        names = {Path(name).stem: name for name in archive.namelist()}
        return {
            stem: _read_array(archive, name) for stem, name in names.items() if stem not in skipped
        }


def array_names(path: Path) -> frozenset[str]:
    """Return which arrays a file has, without reading any.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    with _opened(path) as archive:
        return frozenset(Path(name).stem for name in archive.namelist())


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a file, and turn all that can be wrong with it into an error that names it."""
    try:
        with open_archive(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise ArtifactError(f"{path.name} is missing") from error
    except ArtifactError as error:
        raise ArtifactError(f"{path.name}: {error}") from error
    # zipfile, zlib and numpy's reader of headers raise what they like: TokenError, OverflowError, …
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ArtifactError(f"{path.name} cannot be read: {reason}") from error


def _check_members(
    archive: zipfile.ZipFile, required: Sequence[str], optional: Sequence[str]
) -> None:
    names = sorted(archive.namelist())
    needed = {f"{name}.npy" for name in required}
    known = needed | {f"{name}.npy" for name in optional}
    if len(set(names)) != len(names) or not needed <= set(names) <= known:
        may = f", may hold {_listed(optional)}" if optional else ""
        raise ArtifactError(f"holds {names}, must hold {_listed(required)}{may}")
    if any(info.compress_type not in _COMPRESSIONS for info in archive.infolist()):
        raise ArtifactError("is compressed with another method than deflate")
    unpacked = sum(info.file_size for info in archive.infolist())
    if unpacked > MAX_BYTES:
        raise ArtifactError(f"unpacks to {unpacked} bytes, the limit is {MAX_BYTES}")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    size_bytes = archive.getinfo(name).file_size
    with archive.open(name) as file:
        shape, dtype = _read_header(file)
        # numpy allocates what the header asks for before it reads; a header can ask for anything.
        # Strings of no length count as nothing here, and as one character when they are allocated.
        is_sized = dtype.itemsize > 0 and not dtype.hasobject and all(n >= 0 for n in shape)
        if not is_sized or _n_bytes(shape, dtype) > size_bytes:
            raise ArtifactError(
                f"{name} claims shape {shape} of {dtype}, it has {size_bytes} bytes"
            )
        file.seek(0)
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype


def _n_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    n_bytes = dtype.itemsize
    for length in shape:
        n_bytes *= length
    return n_bytes
