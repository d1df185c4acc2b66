"""Versions that are published while requests are sent: good ones take over, broken ones do not."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import BenchmarkError, ServerProcess
from benchmarks.swaps import MODEL, Store, version_states

_PATIENCE_S = 180.0
_POLL_S = 0.2
_BROKEN_EVERY = 4


@dataclass(slots=True)
class Swaps:
    """What became of the versions.

    Attributes:
        taken_over: Good ones.
        refused: Broken ones, which never served.
    """

    taken_over: int = 0
    refused: int = 0


class Swapper:
    """Publishes versions, one at a time, and waits for what becomes of each."""

    def __init__(self, server: ServerProcess, store: Store) -> None:
        """``store`` has one version, which serves."""
        self.swaps = Swaps()
        self._server = server
        self._store = store
        self._serving = store.newest

    async def swap(self) -> None:
        """Publish the next version; every fourth is broken.

        Raises:
            BenchmarkError: A good one does not take over, or a broken one is not refused.
        """
        number = await asyncio.to_thread(self._store.publish)
        is_broken = number % _BROKEN_EVERY == 0
        if is_broken:
            await asyncio.to_thread(_spoil, self._store.root / MODEL / str(number))
        await self._wait_for(number, "FAILED" if is_broken else "AVAILABLE")
        if is_broken:
            self.swaps.refused += 1
        else:
            self.swaps.taken_over += 1
            await self._wait_for(self._serving, "END")
            await asyncio.to_thread(self._store.remove, self._serving)
            self._serving = number

    async def _wait_for(self, number: int, state: str) -> None:
        by_s = time.monotonic() + _PATIENCE_S
        while (found := (await self._states()).get(number)) != state:
            if time.monotonic() > by_s:
                raise BenchmarkError(
                    f"{MODEL}:{number} is {found} after {_PATIENCE_S:g} s, not {state}"
                )
            await asyncio.sleep(_POLL_S)

    async def _states(self) -> dict[int, str]:
        return await asyncio.to_thread(version_states, self._server)


def _spoil(folder: Path) -> None:
    """Make the manifest one of a schema that nobody knows."""
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8")) | {"schema_version": 99}
    manifest.write_text(json.dumps(content), encoding="utf-8")
