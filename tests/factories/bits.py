"""Writes streams of bits, for compressed files that no encoder would make."""

from __future__ import annotations

from collections.abc import Sequence


class BitWriter:
    """Bits from the lowest of each byte on, as deflate and VP8L have them."""

    def __init__(self) -> None:
        self._bits: list[str] = []  # strings of the last bit first, in order

    def put(self, value: int, bits: int) -> None:
        self._bits.append(f"{value:0{bits}b}"[::-1])

    def put_code(self, code: str) -> None:
        self._bits.append(code)

    def repeated(self, times: int) -> bytes:
        return _packed("".join(self._bits) * times)

    def to_bytes(self) -> bytes:
        return self.repeated(1)


def canonical_codes(lengths: Sequence[int]) -> dict[int, str]:
    """Huffman codes by symbol, their first bit first; a symbol of length 0 has none."""
    codes, code = {}, 0
    for length in range(1, max(lengths) + 1):
        for symbol, of_symbol in enumerate(lengths):
            if of_symbol == length:
                codes[symbol] = f"{code:0{length}b}"
                code += 1
        code <<= 1
    return codes


def _packed(bits: str) -> bytes:
    size = -(-len(bits) // 8)
    return int(bits[::-1], 2).to_bytes(size, "little")
