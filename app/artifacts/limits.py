"""How much a version, or what is to become one, may ask for before anything of it is unpacked.

Far above what there is, and far below what fills a host: the largest networks that Keras brings
have 1.5 GB of weights and 2 MB of description.
"""

from __future__ import annotations

from typing import Final

MAX_FILES: Final = 10_000
MAX_FILE_BYTES: Final = 4 * 1024**3
"""Of any file, and of weights unpacked. A protocol buffer cannot have more than half of it."""
MAX_TOTAL_BYTES: Final = 16 * 1024**3
MAX_DESCRIPTION_BYTES: Final = 64 * 1024**2
"""Of layers in JSON or XML: parsers need a multiple of it in memory. That of a network of 1,000
layers has one megabyte."""
MAX_RATIO: Final = 100
"""Unpacked to packed, of what is above ``RATIO_FROM_BYTES``. Weights shrink by a third, JSON to a
thirtieth; only what is meant to burst shrinks to a thousandth."""
RATIO_FROM_BYTES: Final = 1024**2
