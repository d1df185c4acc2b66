from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.drift.policy import DriftPolicy
from app.drift.window import DriftWindow
from app.types import ImageArray
from tests.fakes import FakeClock

LENGTH = 200


def image(level: int) -> ImageArray:
    return np.full((4, 4, 3), level, np.uint8)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def make_window(clock: FakeClock, *, looks_per_s: int = 10**6) -> DriftWindow:
    return DriftWindow(DriftPolicy(LENGTH, looks_per_s), channels=3, clock=clock)


def test_new_window_is_empty(clock: FakeClock) -> None:
    content = make_window(clock).content()

    assert (content.class_ids.size, content.scores.size) == (0, 0)
    assert content.means.shape == content.mean_squares.shape == (0, 3)


def test_window_holds_what_was_observed(clock: FakeClock) -> None:
    window = make_window(clock)
    window.observe(2, 0.75, image(10))
    window.observe(0, 0.5, image(20))

    content = window.content()

    assert content.class_ids.tolist() == [2, 0]
    assert content.scores.tolist() == [0.75, 0.5]
    assert content.means.tolist() == [[10.0] * 3, [20.0] * 3]
    assert content.mean_squares.tolist() == [[100.0] * 3, [400.0] * 3]


def test_oldest_images_leave_a_full_window(clock: FakeClock) -> None:
    window = make_window(clock)
    for number in range(LENGTH + 50):
        window.observe(number, 1.0, image(number))

    content = window.content()

    assert sorted(content.class_ids.tolist()) == list(range(50, LENGTH + 50))
    assert sorted(content.means[:, 0].tolist()) == list(range(50, LENGTH + 50))


def test_content_stays_as_it_was_when_more_is_observed(clock: FakeClock) -> None:
    window = make_window(clock)
    for _ in range(LENGTH):
        window.observe(1, 1.0, image(1))
    content = window.content()

    window.observe(2, 0.5, image(2))

    assert set(content.class_ids.tolist()) == {1}
    assert set(content.means[:, 0].tolist()) == {1.0}


def test_pixels_of_so_many_images_are_looked_at_in_each_second(clock: FakeClock) -> None:
    window = make_window(clock, looks_per_s=3)
    looked_at = []
    for pause_s in (0.0, 0.9, 0.1, 0.5, 10.0):
        clock.advance(pause_s)
        for _ in range(5):
            window.observe(0, 1.0, image(0))
        looked_at.append(len(window.content().means))

    assert looked_at == [3, 3, 6, 6, 9]
    assert len(window.content().class_ids) == 25, "class and score are of every image"


@pytest.mark.parametrize("length", [-1, 1, 199])
def test_window_that_could_never_give_an_index_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"must be 0 \(off\) or at least 200"):
        DriftPolicy(length)


def test_content_is_taken_in_another_thread_while_images_are_observed(clock: FakeClock) -> None:
    window = make_window(clock)
    levels = range(1, 100)
    is_enough = threading.Event()
    seen: list[set[float]] = [set(), set(), set(), set()]
    lengths: list[int] = []

    def look() -> None:
        content = window.content()
        parts: tuple[NDArray[Any], ...] = (
            content.class_ids,
            content.scores,
            content.means,
            content.mean_squares,
        )
        for numbers, part in zip(seen, parts, strict=True):
            numbers.update(part.ravel().tolist())
            lengths.append(len(part))

    def look_again_and_again() -> None:
        while not is_enough.is_set():
            look()
        look()

    looking = threading.Thread(target=look_again_and_again)
    looking.start()
    pictures = [image(level) for level in levels]
    for _ in range(3):
        for level, picture in zip(levels, pictures, strict=True):
            window.observe(level, level / 128, picture)
    is_enough.set()
    looking.join()

    assert len(lengths) > 4 * 10, "ten looks, of four arrays each"
    assert max(lengths) == LENGTH
    for numbers, expected in zip(
        seen,
        (
            {float(level) for level in levels},
            {level / 128 for level in levels},
            {float(level) for level in levels},
            {float(level**2) for level in levels},
        ),
        strict=True,
    ):
        assert numbers <= expected, "half a number, or one of no image"
