"""Bounds what stands before the first picture of a GIF."""

from __future__ import annotations

_HEADER_BYTES = 13
_FLAGS_AT = 10
_EXTENSION, _PICTURE, _END = 0x21, 0x2C, 0x3B

# Pillow reads block by block in Python, up to 20 million of them in an upload of 20 MB: more than
# a second, with the interpreter's lock. This is 4 MB of comments or profiles.
_MAX_BLOCKS = 16_384


def check_gif(data: bytes) -> None:
    """Refuse a GIF with more blocks before its first picture than any encoder writes.

    Args:
        data: A GIF file, possibly truncated or corrupt, which is not looked for.

    Raises:
        ValueError: It has; stray bytes between blocks count as some.
    """
    flags = data[_FLAGS_AT] if len(data) > _FLAGS_AT else 0
    position = _HEADER_BYTES + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    is_extension = False
    for _ in range(_MAX_BLOCKS):
        if position >= len(data):
            return
        value = data[position]
        if is_extension:
            position += 1 + value
            is_extension = value != 0
        elif value in (_PICTURE, _END):
            return
        else:  # an extension with its label, or a stray byte
            is_extension = value == _EXTENSION
            position += 2 if is_extension else 1
    raise ValueError(f"it has more than {_MAX_BLOCKS:,} blocks before its picture")
