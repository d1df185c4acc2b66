from __future__ import annotations

from app.rollout.window import WINDOW_REQUESTS, RequestWindow


def test_empty_window_knows_no_time_and_no_error() -> None:
    window = RequestWindow()
    assert (len(window), window.error_rate, window.p95_s()) == (0, 0.0, None)


def test_p95_is_that_of_the_requests_which_did_not_fail() -> None:
    window = RequestWindow()
    for number in range(100):
        window.add_answer(number / 100)
        window.add_error()
    assert window.error_rate == 0.5
    assert window.p95_s() == 0.95


def test_requests_leave_with_their_errors_when_newer_ones_come() -> None:
    window = RequestWindow()
    for _ in range(WINDOW_REQUESTS):
        window.add_error()
    assert (window.errors, window.error_rate) == (WINDOW_REQUESTS, 1.0)
    for number in range(WINDOW_REQUESTS):
        window.add_answer(0.5)
        assert window.errors == WINDOW_REQUESTS - number - 1
        assert len(window) == WINDOW_REQUESTS
    assert window.error_rate == 0


def test_answers_without_a_time_count_as_answers_alone() -> None:
    window = RequestWindow()
    window.add_answer(None)
    window.add_answer(0.0)
    window.add_error()
    assert (len(window), window.errors, window.latencies_s()) == (3, 1, [0.0])
