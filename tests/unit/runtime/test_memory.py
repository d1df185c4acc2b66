from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

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
