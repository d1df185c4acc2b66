"""Reads how many tables of codes a lossless WebP stream may bring, which its decoder builds first.

What says so stands behind small images that other steps of decoding need, coded like the picture
itself: they are gone through symbol by symbol, a few thousand at most, but not made pixels of.
The layout is that of the WebP Lossless Bitstream Specification (RFC 9649).
"""

from __future__ import annotations

from app.imaging.huffman import BitReader, PrefixCode, canonical_code

_SIGNATURE = 0x2F
_PREDICTOR, _CROSS_COLOR, _SUBTRACT_GREEN = 0, 1, 2  # the fourth kind is a palette
_MAX_TRANSFORMS = 4

_CODE_LENGTH_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
_FIRST_PREVIOUS_LENGTH = 8
_REPEAT_PREVIOUS = 16
_REPEATS = {_REPEAT_PREVIOUS: (2, 3), 17: (3, 3), 18: (7, 11)}  # extra bits, and what is added

_LITERALS, _LENGTHS, _DISTANCES = 256, 24, 40
# Walking holds the interpreter lock, about two microseconds for each. Encoders need one for every
# 256 to 1,024 px of a picture, twice.
_MAX_SYMBOLS = 6_000


def count_tables(stream: bytes | memoryview) -> int | None:
    """Return how many sets of five tables a ``VP8L`` chunk can bring, at most.

    Args:
        stream: Content of the chunk.

    Returns:
        None where that was not to be found out: damaged, or more in front of it than encoders
        write.
    """
    bits = BitReader(stream)
    try:
        if bits.read(8) != _SIGNATURE:
            return None
        width, height = bits.read(14) + 1, bits.read(14) + 1
        bits.read(4)  # whether alpha is used, and the version
        return _count(bits, width, height)
    except (EOFError, ValueError):
        return None


def count_alpha_tables(stream: bytes | memoryview, width: int, height: int) -> int | None:
    """Return the same of an ``ALPH`` chunk, behind its first byte; size in px is the picture's."""
    try:
        return _count(BitReader(stream), width, height)
    except (EOFError, ValueError):
        return None


def _count(bits: BitReader, width: int, height: int) -> int:
    symbols_left = _MAX_SYMBOLS
    for _ in range(_MAX_TRANSFORMS):
        if not bits.read(1):
            break
        kind = bits.read(2)
        if kind in (_PREDICTOR, _CROSS_COLOR):
            size_bits = bits.read(3) + 2
            tiles = -(-width >> size_bits) * -(-height >> size_bits)
            symbols_left -= _pass_image(bits, tiles, symbols_left)
        elif kind != _SUBTRACT_GREEN:
            colors = bits.read(8) + 1
            symbols_left -= _pass_image(bits, colors, symbols_left)
            shift = next((by for most, by in ((2, 3), (4, 2), (16, 1)) if colors <= most), 0)
            width = -(-width >> shift)
    else:
        if bits.read(1):
            raise ValueError("more transforms than there are")
    _read_cache_bits(bits)
    if not bits.read(1):
        return 1
    tile_bits = bits.read(3) + 2
    return -(-width >> tile_bits) * -(-height >> tile_bits)


def _pass_image(bits: BitReader, pixels: int, most_symbols: int) -> int:
    """Pass one of the images that the picture needs; return its symbols."""
    cache_bits = _read_cache_bits(bits)
    cached = 1 << cache_bits if cache_bits else 0
    sizes = (_LITERALS + _LENGTHS + cached, _LITERALS, _LITERALS, _LITERALS, _DISTANCES)
    green, red, blue, alpha, distance = [_read_code(bits, size) for size in sizes]
    symbols = 0
    while pixels > 0:
        symbols += 1
        if symbols > most_symbols:
            raise ValueError("more symbols than encoders write")
        symbol = bits.read_symbol(green)
        if symbol < _LITERALS:
            for code in (red, blue, alpha):
                bits.read_symbol(code)
            pixels -= 1
        elif symbol < _LITERALS + _LENGTHS:
            pixels -= _read_number(bits, symbol - _LITERALS)
            _read_number(bits, bits.read_symbol(distance))
        else:
            pixels -= 1
    return symbols


def _read_cache_bits(bits: BitReader) -> int:
    return bits.read(4) if bits.read(1) else 0


def _read_number(bits: BitReader, prefix: int) -> int:
    """Read a length or a distance, from 1."""
    if prefix < 4:
        return prefix + 1
    extra = (prefix - 2) >> 1
    return ((2 + (prefix & 1)) << extra) + bits.read(extra) + 1


def _read_code(bits: BitReader, size: int) -> PrefixCode:
    """Read a code for symbols below ``size``."""
    lengths = [0] * size
    if bits.read(1):  # one or two symbols
        is_second = bits.read(1)
        symbols = [bits.read(8 if bits.read(1) else 1)]
        if is_second:
            symbols.append(bits.read(8))
        if max(symbols) >= size:
            raise ValueError("a symbol that there is not")
        for symbol in symbols:
            lengths[symbol] = 1
        return canonical_code(lengths)
    count = bits.read(4) + 4
    of_lengths = [0] * len(_CODE_LENGTH_ORDER)
    for symbol in _CODE_LENGTH_ORDER[:count]:
        of_lengths[symbol] = bits.read(3)
    code = canonical_code(of_lengths)
    left = bits.read(2 + 2 * bits.read(3)) + 2 if bits.read(1) else size
    at, previous = 0, _FIRST_PREVIOUS_LENGTH
    while at < size and left > 0:
        left -= 1
        symbol = bits.read_symbol(code)
        times, length = 1, symbol
        if symbol in _REPEATS:
            extra, more = _REPEATS[symbol]
            times = bits.read(extra) + more
            length = previous if symbol == _REPEAT_PREVIOUS else 0
        if at + times > size:
            raise ValueError("more lengths than symbols")
        previous = length or previous
        lengths[at : at + times] = [length] * times
        at += times
    return canonical_code(lengths)
