"""Lets a turn of the event loop begin only so many requests, while others are being refused."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

Begin: TypeAlias = Callable[[], None]

PER_TURN = 16
"""Requests that are begun between two looks at the sockets.

Under overload, a batch that ends makes room for as many as it held: their heads come at once, and
beginning one, its decoding included, takes 0.13 ms. A hundred of them in one turn of the event loop
hold up everybody who comes meanwhile, and a refusal is due within 10 ms.
"""


class Pacer:
    """Puts off what would be too much for one turn of the event loop to begin.

    Order: who was put off first begins first, and nobody overtakes.
    Loop: used on one event loop; ``begin`` is called there, each in a callback of its own.
    """

    def __init__(self) -> None:
        """Have put off nobody."""
        self._waiting: deque[Begin] = deque()
        self._begun = 0  # in this turn
        self._due = 0  # in the next one, of those that were put off
        self._is_end_due = False

    @property
    def has_waiting(self) -> bool:
        """Whether somebody is put off."""
        return bool(self._waiting or self._due)

    def may_begin(self) -> bool:
        """Whether one more may begin in this turn, which is counted; else ``put_off`` it."""
        self._end_with_turn()
        if self._waiting or self._begun >= PER_TURN:
            return False
        self._begun += 1
        return True

    def put_off(self, begin: Begin) -> None:
        """Call ``begin`` in a later turn."""
        self._waiting.append(begin)

    def _end_with_turn(self) -> None:
        if not self._is_end_due:
            self._is_end_due = True
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._is_end_due = False
        self._begun = self._due = min(PER_TURN, len(self._waiting))
        loop = asyncio.get_running_loop()
        for _ in range(self._due):
            loop.call_soon(self._waiting.popleft())
        if self._due:
            self._end_with_turn()
