from __future__ import annotations

import gc
import platform
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from app.runtime.memory import give_back

ROOT = Path(__file__).parents[3]


class Node:
    """Refers to itself, as a traced function does in the end."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_in_a_cycle_is_collected() -> None:
    gc.disable()
    try:
        node = Node()
        gone = weakref.ref(node)
        del node
        assert gone() is not None

        give_back()

        assert gone() is None
    finally:
        gc.enable()


def test_imports_are_left_out_of_collections_once_and_later_objects_are_not() -> None:
    script = (
        "import gc\n"
        "from app.runtime.memory import settle_imports\n"
        "settle_imports()\n"
        "frozen = gc.get_freeze_count()\n"
        "later = [[] for _ in range(10_000)]\n"
        "settle_imports()\n"
        "print(frozen > 1_000, gc.get_freeze_count() == frozen)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "True True\n"


_BLOCKS_APART = """
import ctypes
from app.runtime.memory import settle_heap

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost",
    )]

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
library.mallinfo2.restype = Info
for has_own_buffers in {engines}:
    settle_heap(has_own_buffers=has_own_buffers)
library.free(library.malloc(8 << 20))  # from now on, blocks of its size come from the heap
before = library.mallinfo2().hblks
blocks = [library.malloc(2 << 20) for _ in range(4)]
print(library.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap of another C library")
@pytest.mark.parametrize(
    ("engines", "apart"),
    [((), 0), ((True,), 4), ((False,), 0), ((True, False), 0), ((False, True), 0)],
)
def test_large_blocks_are_apart_where_every_engine_has_its_own_buffers(
    engines: tuple[bool, ...], apart: int
) -> None:
    script = _BLOCKS_APART.replace("{engines}", repr(engines))
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert int(done.stdout) == apart
