"""Bits and prefix codes as VP8L has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

PrefixCode: TypeAlias = dict[tuple[int, int], int] | int
"""Symbols by length and code, first bit first; a symbol alone, which takes no bits."""

_MAX_CODE_BITS = 15


class BitReader:
    """Reads numbers and symbols, from the lowest bit of the first byte on."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes | memoryview) -> None:
        """Begin at the first bit."""
        self._data = data
        self._position = 0
        self._end = 8 * len(data)

    def read(self, count: int) -> int:
        """Return the next ``count`` bits, 32 at most; the first one is the lowest.

        Raises:
            EOFError: There are not as many.
        """
        start = self._position
        self._position = end = start + count
        if end > self._end:
            raise EOFError
        chunk = int.from_bytes(self._data[start >> 3 : (end + 7) >> 3], "little")
        return chunk >> (start & 7) & (1 << count) - 1

    def read_symbol(self, code: PrefixCode) -> int:
        """Return the next symbol.

        Raises:
            EOFError: The data end in it.
            ValueError: The code has no such symbol.
        """
        if isinstance(code, int):
            return code
        data, position, bits = self._data, self._position, 0
        for length in range(1, _MAX_CODE_BITS + 1):
            if position >= self._end:
                raise EOFError
            bits = bits << 1 | data[position >> 3] >> (position & 7) & 1
            position += 1
            symbol = code.get((length, bits))
            if symbol is not None:
                self._position = position
                return symbol
        raise ValueError("no such code")


def canonical_code(lengths: Sequence[int]) -> PrefixCode:
    """Make the code of which only the lengths are given, by symbol; 0 for those without one.

    Raises:
        ValueError: No symbol has a code.
    """
    used = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    if not used:
        raise ValueError("a code without symbols")
    if len(used) == 1:
        return used[0][1]
    code, before, found = 0, used[0][0], {}
    for length, symbol in used:
        code <<= length - before
        before = length
        found[length, code] = symbol
        code += 1
    return found
