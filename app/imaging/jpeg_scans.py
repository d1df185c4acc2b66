"""Reads how a JPEG is coded: what its frame and its scans make a decoder do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6})
_LOSSLESS = frozenset({0xC3, 0xC7})
_FIRST_ARITHMETIC = 0xC9
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_BYTES, _COMPONENT_BYTES = 6, 3

# A marker inside entropy-coded data: neither a stuffed byte, nor a restart, nor filling.
_marker = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

# The decoder smooths what no scan has told it; these coefficients it looks at.
_SMOOTHED = range(1, 10)


class JpegCoding(NamedTuple):
    """What a JPEG makes a decoder do; the unit is one block, 8x8 samples of one component.

    Attributes:
        components: 1 (grey), 3 or 4.
        blocks: Of all components.
        visits: Blocks that are gone through, each scan counted; 0 where every block is decoded
            and shown at once.
        is_smoothed: Whether coefficients are missing, which the decoder then guesses.
        is_lossless: Coded sample by sample.
    """

    components: int
    blocks: int
    visits: int
    is_smoothed: bool
    is_lossless: bool


class _Frame(NamedTuple):
    marker: int
    blocks: dict[int, int]  # by component


def read_coding(data: bytes) -> JpegCoding | None:
    """Read the frame and the head of every scan.

    Args:
        data: A JPEG of which ``strip_jpeg`` has bounded segments and scans.

    Returns:
        None where there is no frame; the decoder refuses such a file.

    Raises:
        ValueError: It is coded arithmetically: ten times the time, and no browser shows it.
    """
    frame: _Frame | None = None
    visits, scans = 0, 0
    is_buffered = False
    missing: dict[int, set[int]] = {}
    for marker, content in _segments(data):
        if marker in _FRAMES and frame is None:
            frame = _read_frame(marker, content)
            if frame is None:
                return None
            is_buffered = marker in _PROGRESSIVE
            missing = {name: set(_SMOOTHED) for name in frame.blocks if is_buffered}
        elif marker == _START_OF_SCAN and frame is not None:
            names = content[1 : 1 + 2 * content[0] : 2] if content else b""
            is_buffered = is_buffered or (not scans and len(names) < len(frame.blocks))
            if not is_buffered:
                break  # all that there is to decode
            scans += 1
            visits += sum(frame.blocks.get(name, 0) for name in names)
            _note_known(missing, names, content[1 + 2 * len(names) :])
    if frame is None:
        return None
    return JpegCoding(
        components=len(frame.blocks),
        blocks=sum(frame.blocks.values()),
        visits=visits if is_buffered else 0,
        is_smoothed=any(missing.values()),
        is_lossless=frame.marker in _LOSSLESS,
    )


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of each segment; of a scan, of its head."""
    position, is_header = 2, True
    while True:
        if not is_header or data[position : position + 1] != b"\xff":
            found = _marker.search(data, position)
            if found is None:
                return
            position = found.start()
        if position + 4 > len(data):
            return
        marker = data[position + 1]
        if marker == _END_OF_IMAGE and not is_header:
            return
        if marker in _STANDALONE or marker in (0x00, 0xFF, _END_OF_IMAGE):
            position += 1 if marker == 0xFF else 2
            continue
        end = position + 2 + max(int.from_bytes(data[position + 2 : position + 4], "big"), 2)
        yield marker, data[position + 4 : end]
        is_header = is_header and marker != _START_OF_SCAN
        position = end


def _read_frame(marker: int, content: bytes) -> _Frame | None:
    if marker >= _FIRST_ARITHMETIC:
        raise ValueError("it is coded arithmetically, which is not supported")
    if len(content) < _FRAME_BYTES:
        return None
    height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    components = content[_FRAME_BYTES : _FRAME_BYTES + _COMPONENT_BYTES * content[5]]
    sampling = {
        components[at]: (components[at + 1] >> 4 or 1, components[at + 1] & 15 or 1)
        for at in range(0, len(components) - 2, _COMPONENT_BYTES)
    }
    if not sampling:
        return None
    most_h = max(h for h, _ in sampling.values())
    most_v = max(v for _, v in sampling.values())
    blocks = {
        name: -(-width * h // (8 * most_h)) * -(-height * v // (8 * most_v))
        for name, (h, v) in sampling.items()
    }
    return _Frame(marker, blocks)


def _note_known(missing: dict[int, set[int]], names: bytes, spectrum: bytes) -> None:
    if len(spectrum) < 3 or spectrum[2] & 15:  # more bits of it will follow
        return
    known = set(range(spectrum[0], min(spectrum[1], _SMOOTHED[-1]) + 1))
    for name in names:
        if name in missing:
            missing[name] -= known
