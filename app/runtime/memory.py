"""Gives the memory of networks that are gone back to the operating system.

TensorFlow and Keras leave two kinds of it behind. Networks and traced functions are full of
reference cycles, which Python collects when it sees fit, minutes later perhaps. And what was freed
stays with the C library, whose heap is fragmented by copies of the weights that live for a moment
while a network is loaded. With this, a server that swaps the CIFAR-10 network under load needs half
the memory (``benchmarks/README.md``).
"""

from __future__ import annotations

import ctypes
import gc
import logging
import sys

logger = logging.getLogger(__name__)

_is_settled = False


def settle_imports() -> None:
    """Leave all that is loaded by now out of later collections; call once engines are imported.

    Of TensorFlow's hundred thousands of objects none will ever be garbage, and looking at them
    holds the interpreter, requests included, for a quarter of a second.
    """
    global _is_settled
    if not _is_settled:
        _is_settled = True
        gc.collect()
        gc.freeze()


def give_back() -> None:
    """Collect what is in cycles, and return free pages. Takes some 100 ms; call it in a thread."""
    gc.collect()
    if sys.platform == "linux":
        _trim_heap()


def _trim_heap() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:  # musl gives back by itself
        logger.debug("this C library has no malloc_trim")
        return
    trim(ctypes.c_size_t(0))
