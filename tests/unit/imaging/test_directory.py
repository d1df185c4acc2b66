from __future__ import annotations

import struct

import pytest

from app.imaging.directory import read_orientation
from tests.factories import images


def exif_block(order: str, kind: int, value: int, *, entries_before: int = 0) -> bytes:
    """An EXIF block with an orientation tag of this type behind some other tags."""
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    other = struct.pack(f"{order}HHII", 0x010F, 2, 2, 0) * entries_before
    tag = struct.pack(f"{order}HHI", 0x0112, kind, 1)
    stored = struct.pack(f"{order}{'HH' if kind == 3 else 'I'}", *([value, 0][: 5 - kind]))
    return head + struct.pack(f"{order}H", entries_before + 1) + other + tag + stored


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4], ids=["short", "long"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_orientation_is_read(order: str, kind: int, prefix: bytes, orientation: int) -> None:
    block = exif_block(order, kind, orientation, entries_before=3)

    assert read_orientation(prefix + block) == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_as_pillow_writes_it(orientation: int) -> None:
    assert read_orientation(images.orientation_exif(orientation).tobytes()) == orientation


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"II",
        b"XX*\0\x08\0\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0+\0\x08\0\0" + b"\xff" * 8,
        exif_block("<", 3, 0),
        exif_block("<", 3, 9),
        exif_block("<", 4, 2**31),
        exif_block("<", 3, 6).replace(b"\x12\x01\x03", b"\x12\x01\x07"),
    ],
    ids=[
        "empty", "prefix only", "order only", "no order", "offset outside", "entries missing",
        "big offset outside", "zero", "nine", "huge", "wrong type",
    ],
)  # fmt: skip
def test_absurd_block_means_upright(block: bytes) -> None:
    assert read_orientation(block) == 1


@pytest.mark.parametrize("end", range(0, 60, 3))
def test_truncated_block_means_upright_or_its_orientation(end: int) -> None:
    assert read_orientation(exif_block(">", 3, 6, entries_before=2)[:end]) in (1, 6)
