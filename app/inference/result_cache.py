"""The scores of images that were computed before, within a bound of bytes for the process."""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from app.types import ScoreArray

ENTRY_OVERHEAD_BYTES = 460
"""What one entry takes beside its pixels and scores: the record, its hash, its places in two
dictionaries, the array around the scores. Measured: 420 to 475, by how full the dictionaries are,
the 33 around the pixels included, which ``sys.getsizeof`` counts on top of this."""

# Freed in one turn of the event loop when a version goes: 1 ms. 300,000 CIFAR images, 1 GB, at
# once would hold up every request for 0.4 s.
_FREED_AT_ONCE = 1000


class CacheObserver(Protocol):
    """Where a cache tells what it holds; called on its event loop."""

    def cache_changed(self, *, size_bytes: int, entries: int) -> None:
        """So much is kept now."""
        ...

    def cache_evicted(self, entries: int) -> None:
        """So many entries left to make room."""
        ...


@dataclass(slots=True, eq=False)
class _Entry:
    """One image: ``pixels`` as C-ordered bytes, ``(K,)`` float32 ``scores`` that cannot change."""

    digest: int
    pixels: bytes
    scores: ScoreArray
    size_bytes: int
    section: CacheSection


class ResultCache:
    """Keeps scores of all versions; what was used longest ago goes first.

    Loop: everything runs on one event loop.
    Bound: ``max_bytes`` for the process, however many versions it serves: pixels, scores and
        overhead. An image that would take more than all of it is not kept.
    """

    def __init__(self, max_bytes: int, observer: CacheObserver) -> None:
        """Begin empty."""
        self._max_bytes = max_bytes
        self._observer = observer
        self._size_bytes = 0
        self._by_use: OrderedDict[_Entry, None] = (
            OrderedDict()
        )  # the first one was used longest ago

    @property
    def size_bytes(self) -> int:
        """What the entries take."""
        return self._size_bytes

    def __len__(self) -> int:
        """Entries of all versions."""
        return len(self._by_use)

    def section(self) -> CacheSection:
        """Return the part of one version, which goes with it."""
        return CacheSection(self)

    def touch(self, entry: _Entry) -> None:
        """Take note of a use."""
        self._by_use.move_to_end(entry)

    def add(self, entry: _Entry) -> bool:
        """Take an entry in, and let others go for it; return whether there is room at all."""
        if entry.size_bytes > self._max_bytes:
            return False
        evicted = 0
        while self._size_bytes + entry.size_bytes > self._max_bytes:
            oldest = next(iter(self._by_use))
            oldest.section.drop(oldest)
            evicted += 1
        self._by_use[entry] = None
        self._size_bytes += entry.size_bytes
        if evicted:
            self._observer.cache_evicted(evicted)
        self.report()
        return True

    def remove(self, entry: _Entry) -> None:
        """Forget an entry; ``report`` tells of it."""
        del self._by_use[entry]
        self._size_bytes -= entry.size_bytes

    def report(self) -> None:
        """Tell the observer what is kept."""
        self._observer.cache_changed(size_bytes=self._size_bytes, entries=len(self))


class CacheSection:
    """The entries of one version.

    There is one place for each hash. Of two images with the same hash the later one takes it:
    whoever makes such images gets misses for them, never another image's scores, and no chain
    that others would have to search.
    """

    def __init__(self, cache: ResultCache) -> None:
        """Begin empty; ``ResultCache.section`` makes them."""
        self._cache = cache
        self._entries: dict[int, _Entry] = {}
        self._is_closed = False

    def find(self, digest: int, pixels: bytes) -> ScoreArray | None:
        """Return the ``(K,)`` scores of exactly these pixels, if they are kept."""
        entry = self._entries.get(digest)
        if entry is None or entry.pixels != pixels:
            return None
        self._cache.touch(entry)
        return entry.scores

    def keep(self, digest: int, pixels: bytes, scores: ScoreArray) -> None:
        """Keep the scores of an image; after ``close`` this does nothing.

        Args:
            digest: Hash of the pixels.
            pixels: C-ordered bytes.
            scores: ``(K,)`` float32, immutable: every caller gets this very array.
        """
        if self._is_closed:
            return
        before = self._entries.get(digest)
        if before is not None:
            self.drop(before)
        size_bytes = sys.getsizeof(pixels) + scores.nbytes + ENTRY_OVERHEAD_BYTES
        entry = _Entry(digest, pixels, scores, size_bytes, self)
        if self._cache.add(entry):
            self._entries[digest] = entry
        elif before is not None:
            self._cache.report()

    def drop(self, entry: _Entry) -> None:
        """Forget one entry."""
        del self._entries[entry.digest]
        self._cache.remove(entry)

    async def close(self) -> None:
        """Forget all entries, some at a time, and keep none any more."""
        self._is_closed = True
        while self._entries:
            for _ in range(min(_FREED_AT_ONCE, len(self._entries))):
                self._cache.remove(self._entries.popitem()[1])
            self._cache.report()
            await asyncio.sleep(0)  # others go on meanwhile; add() may drop some of ours, too
