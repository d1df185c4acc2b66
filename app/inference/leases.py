"""Who still needs a version that takes no new requests."""

from __future__ import annotations

import asyncio


class Leases:
    """Counts the requests that a version was promised to.

    A request is given its version when it begins, and its image reaches the batcher only after the
    upload and the decoding. Until then the batcher cannot know of it: the version must stay.

    Loop: everything runs on the event loop.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._held = 0
        self._released = asyncio.Event()
        self._released.set()

    @property
    def held(self) -> int:
        """How many there are."""
        return self._held

    def take(self) -> None:
        """Promise the version to one more; each promise is to be given back."""
        self._held += 1
        if self._held == 1:
            self._released.clear()

    def give_back(self) -> None:
        """Be done with one promise."""
        self._held -= 1
        if not self._held:
            self._released.set()

    async def released(self) -> None:
        """Wait until there are none."""
        await self._released.wait()
