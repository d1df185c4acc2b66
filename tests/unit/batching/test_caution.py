"""How far an expectation is trusted."""

from __future__ import annotations

import pytest

from app.batching.caution import LEAST, MISSED, MOST, Caution


def test_expectations_that_come_true_keep_the_least_distance() -> None:
    caution = Caution()
    for _ in range(100):
        caution.observe(0.3, 0.3)
    assert caution.factor == LEAST


def test_lateness_is_learned_fast_and_forgotten_slowly() -> None:
    caution = Caution()
    for _ in range(5):
        caution.observe(0.3, 0.6)
    learned = caution.factor
    assert 1.7 < learned <= 2.0
    for _ in range(5):
        caution.observe(0.3, 0.3)
    assert learned - 0.15 < caution.factor < learned
    for _ in range(300):
        caution.observe(0.3, 0.3)
    assert caution.factor == pytest.approx(LEAST, abs=0.01)


def test_one_late_batch_in_ten_keeps_the_distance_near_it() -> None:
    caution = Caution()
    for number in range(2000):
        caution.observe(0.3, 0.6 if number % 10 == 0 else 0.3)
    assert 1.5 < caution.factor < 2.0


@pytest.mark.parametrize("pauses", [1, 100])
def test_a_pause_never_counts_for_more_than_the_most(pauses: int) -> None:
    caution = Caution()
    for _ in range(pauses):
        caution.observe(0.1, 60.0)
    assert LEAST < caution.factor <= MOST


def test_images_that_were_given_up_raise_it_although_the_answered_ones_were_in_time() -> None:
    caution = Caution()
    before = caution.factor
    caution.observe(0.3, 0.3, has_missed=True)
    assert before < caution.factor <= MISSED * before


def test_a_few_milliseconds_are_no_lateness() -> None:
    caution = Caution()
    caution.observe(0.001, 0.015)
    assert caution.factor == LEAST


def test_pause_after_a_short_expectation_tells_little_about_a_long_one() -> None:
    short, long = Caution(), Caution()
    for _ in range(20):
        short.observe(0.02, 0.08, within_s=0.5)
        long.observe(0.2, 0.8, within_s=0.5)
    assert short.factor < 1.5, "60 ms, where half a second is there"
    assert long.factor > 3.9


def test_where_little_time_is_there_a_short_expectation_tells_all() -> None:
    caution = Caution()
    for _ in range(20):
        caution.observe(0.03, 0.06, within_s=0.08)
    assert caution.factor == pytest.approx(2.0, abs=0.01)
