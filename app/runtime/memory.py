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
_is_heap_for_all = False

_M_MMAP_THRESHOLD = -3  # of mallopt(3)
_APART_BYTES = 1024 * 1024
_MOST_APART_BYTES = 32 * 1024 * 1024  # the most that mallopt takes


def settle_heap(*, has_own_buffers: bool) -> None:
    """Decide where the C library takes large blocks from; call it before a network is built.

    By itself it takes them from its heap once some were freed, and what is copied for a moment
    while a network is loaded leaves the heap in pieces: after a few swaps the process was a sixth
    larger. Blocks from 1 MiB on go back to the system one by one instead. Taking one is dearer
    then, 0.25 ms for each MiB, so that this is only for engines that keep what they compute in.

    Args:
        has_own_buffers: Whether the engine keeps them. One engine without is enough to leave all
            to the heap from then on.
    """
    global _is_heap_for_all
    if sys.platform != "linux":
        return
    _is_heap_for_all = _is_heap_for_all or not has_own_buffers
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        logger.debug("this C library has no mallopt")
        return
    mallopt(_M_MMAP_THRESHOLD, _MOST_APART_BYTES if _is_heap_for_all else _APART_BYTES)


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
