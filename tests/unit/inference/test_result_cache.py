"""What is kept, for how long, and how much of it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from app.inference.result_cache import ENTRY_OVERHEAD_BYTES, CacheSection, ResultCache
from app.types import ScoreArray

PIXELS = 784
CLASSES = 10
ENTRY_BYTES = PIXELS + 33 + 4 * CLASSES + ENTRY_OVERHEAD_BYTES  # 33: what Python puts around bytes


class Recorder:
    """Keeps what a cache reports."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.entries = 0
        self.evicted = 0

    def cache_changed(self, *, size_bytes: int, entries: int) -> None:
        self.size_bytes, self.entries = size_bytes, entries

    def cache_evicted(self, entries: int) -> None:
        self.evicted += entries


def pixels(number: int, size: int = PIXELS) -> bytes:
    return number.to_bytes(8, "big") + bytes(size - 8)


def scores(number: int) -> ScoreArray:
    return np.full(CLASSES, number, np.float32)


def keep(section: CacheSection, *numbers: int) -> None:
    for number in numbers:
        section.keep(hash(pixels(number)), pixels(number), scores(number))


def kept(section: CacheSection, candidates: range = range(20)) -> list[int]:
    """Return which images are kept, with their own scores; this counts as their use."""
    found = []
    for number in candidates:
        answer = section.find(hash(pixels(number)), pixels(number))
        if answer is not None:
            assert np.array_equal(answer, scores(number))
            found.append(number)
    return found


def room_for(entries: int) -> tuple[ResultCache, Recorder]:
    recorder = Recorder()
    return ResultCache(entries * ENTRY_BYTES, recorder), recorder


def test_what_was_used_longest_ago_goes_first() -> None:
    cache, recorder = room_for(3)
    section = cache.section()
    keep(section, 1, 2, 3)
    assert section.find(hash(pixels(1)), pixels(1)) is not None
    keep(section, 4)
    assert kept(section) == [1, 3, 4]
    assert recorder.evicted == 1
    assert (recorder.entries, recorder.size_bytes) == (3, 3 * ENTRY_BYTES)


def test_one_large_entry_takes_the_place_of_several() -> None:
    cache, recorder = room_for(4)
    section = cache.section()
    keep(section, 1, 2, 3, 4)
    large = pixels(5, PIXELS + ENTRY_BYTES)
    section.keep(hash(large), large, scores(5))
    assert kept(section) == [3, 4]
    assert section.find(hash(large), large) is not None
    assert recorder.evicted == 2
    assert cache.size_bytes <= 4 * ENTRY_BYTES


def test_entry_larger_than_the_cache_is_not_kept_and_makes_nobody_go() -> None:
    cache, recorder = room_for(2)
    section = cache.section()
    keep(section, 1, 2)
    large = pixels(3, 3 * ENTRY_BYTES)
    section.keep(hash(large), large, scores(3))
    assert section.find(hash(large), large) is None
    assert kept(section) == [1, 2]
    assert recorder.evicted == 0


def test_bound_holds_for_all_versions_together() -> None:
    cache, recorder = room_for(3)
    old, new = cache.section(), cache.section()
    keep(old, 1, 2)
    keep(new, 1, 2)
    assert kept(old) == [2]
    assert kept(new) == [1, 2]
    assert recorder.entries == 3


def test_image_of_the_same_hash_is_another_image() -> None:
    cache, recorder = room_for(3)
    section = cache.section()
    section.keep(7, pixels(1), scores(1))
    assert section.find(7, pixels(2)) is None
    section.keep(7, pixels(2), scores(2))
    assert section.find(7, pixels(1)) is None
    second = section.find(7, pixels(2))
    assert second is not None
    assert np.array_equal(second, scores(2))
    assert (recorder.entries, recorder.size_bytes) == (1, ENTRY_BYTES)


def test_large_image_of_the_same_hash_leaves_no_trace_of_the_first() -> None:
    cache, recorder = room_for(1)
    section = cache.section()
    section.keep(7, pixels(1), scores(1))
    section.keep(7, pixels(2, 2 * ENTRY_BYTES), scores(2))
    assert section.find(7, pixels(1)) is None
    assert (recorder.entries, recorder.size_bytes, cache.size_bytes) == (0, 0, 0)


def test_kept_again_an_image_counts_once() -> None:
    cache, recorder = room_for(3)
    section = cache.section()
    keep(section, 1, 1, 1)
    assert (recorder.entries, recorder.size_bytes) == (1, ENTRY_BYTES)
    assert recorder.evicted == 0


@pytest.mark.anyio
async def test_version_that_goes_takes_its_entries_along_and_no_others() -> None:
    cache, recorder = room_for(5000)
    gone, left = cache.section(), cache.section()
    keep(gone, *range(2500))  # more than are freed in one turn
    keep(left, 1, 2)
    await gone.close()
    assert kept(gone, range(2500)) == []
    assert kept(left) == [1, 2]
    assert (recorder.entries, recorder.size_bytes) == (2, 2 * ENTRY_BYTES)
    keep(gone, 3)
    assert kept(gone) == []
    assert len(cache) == 2


def test_bytes_are_those_that_python_allocates() -> None:
    cache, _ = room_for(100_000)
    section = cache.section()
    entries = 2000
    tracemalloc.start()
    try:
        for number in range(entries):
            section.keep(number, pixels(number), np.frombuffer(scores(number).tobytes(), "f4"))
        allocated = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(cache) == entries
    # Never less than it takes: the bound is there for the memory. Dictionaries grow in steps.
    assert allocated <= cache.size_bytes <= 1.1 * allocated
