"""Looks into HDF5 files of weights, before Keras reads them.

HDF5 can place an array in any other file of the host, by external storage, virtual datasets and
links, and can claim arrays of any size that take nothing on disk: who reads the weights would read
that file, or allocate that memory. Weights that Keras writes are plain arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from app.artifacts.limits import MAX_FILE_BYTES, MAX_FILES, MAX_RATIO, RATIO_FROM_BYTES
from app.errors import ArtifactError


def check_weights(source: Path | IO[bytes], packed_bytes: int) -> None:
    """Refuse weights that are anything but arrays of their own.

    Args:
        source: The file, or its content.
        packed_bytes: What it has on disk.

    Raises:
        ArtifactError: Names the array, and what is wrong with it.
        OSError: It is no HDF5 file. The library raises more for one that is damaged.
    """
    import h5py  # comes with Keras: who has not the one needs not the other

    with h5py.File(source, "r") as file:
        claimed, seen = 0, set()
        pending: list[Any] = [file]
        while pending:
            group = pending.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise ArtifactError(f"{name!r} is a link: weights must be arrays of the file")
                entry = group[name]
                place = h5py.h5o.get_info(entry.id).addr
                if place in seen:
                    continue  # a second name of the same: without this, a circle has no end
                seen.add(place)
                if len(seen) > MAX_FILES:
                    raise ArtifactError(f"it holds more than {MAX_FILES:,} arrays and groups")
                if isinstance(entry, h5py.Group):
                    pending.append(entry)
                elif isinstance(entry, h5py.Dataset):
                    claimed += _bytes_of(entry)
                    _check_claim(claimed, packed_bytes)


def _bytes_of(array: Any) -> int:
    if array.external or array.is_virtual:
        raise ArtifactError(f"{array.name!r} is kept in another file, which would be read")
    return int(array.size or 0) * int(array.dtype.itemsize)


def _check_claim(claimed: int, packed_bytes: int) -> None:
    if claimed > MAX_FILE_BYTES:
        raise ArtifactError(f"its arrays have {claimed:,} bytes, the limit is {MAX_FILE_BYTES:,}")
    if claimed > RATIO_FROM_BYTES and claimed > MAX_RATIO * packed_bytes:
        raise ArtifactError(
            f"its arrays unpack from {packed_bytes:,} to {claimed:,} bytes, the limit is "
            f"{MAX_RATIO} times as many"
        )
