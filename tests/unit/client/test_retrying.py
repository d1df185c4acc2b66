"""When a call is sent again."""

import pytest

from app.client.errors import (
    AnswerTimeoutError,
    ConnectionFailedError,
    DeadlineExceededError,
    KeraserveError,
    NotReadyError,
    QueueFullError,
    UnexpectedAnswerError,
    UnsupportedFormatError,
)
from app.client.retrying import RetryPolicy

FULL = QueueFullError("full", status=429, code="queue_full", retry_after_s=3)
UNREADY = NotReadyError("loading", status=503, code="not_ready")
REFUSED = ConnectionFailedError("refused", may_have_arrived=False)
BROKEN = ConnectionFailedError("reset")
BUSY_PROXY = UnexpectedAnswerError("busy", status=503, retry_after_s=4)


def wait_s(
    error: KeraserveError,
    *,
    retries: int = 2,
    failures: int = 0,
    left_s: float = 10,
    is_repeatable: bool = True,
    chance: float = 1,
) -> float | None:
    return RetryPolicy(retries).wait_s(
        error, failures=failures, left_s=left_s, is_repeatable=is_repeatable, chance=chance
    )


@pytest.mark.parametrize(
    ("error", "is_repeatable", "expected"),
    [
        pytest.param(FULL, False, 3, id="full queue: as the server says, nothing was done"),
        pytest.param(UNREADY, False, 0.1, id="not ready, without a word when"),
        pytest.param(REFUSED, False, 0.1, id="no connection: nothing was sent"),
        pytest.param(BROKEN, True, 0.1, id="broken connection of a call that may be done twice"),
        pytest.param(BROKEN, False, None, id="broken connection of one that may not"),
        pytest.param(BUSY_PROXY, True, 4, id="load balancer that has nobody"),
        pytest.param(BUSY_PROXY, False, None, id="load balancer, and once only"),
        pytest.param(
            UnexpectedAnswerError("?", status=200), True, None, id="nonsense stays nonsense"
        ),
        pytest.param(
            UnsupportedFormatError("text", status=415, code="unsupported_format"), True, None,
            id="the image's fault",
        ),
        pytest.param(
            DeadlineExceededError("late", status=504, code="deadline_exceeded"), True, None,
            id="the deadline has passed",
        ),
        pytest.param(AnswerTimeoutError("late"), True, None, id="no time is left"),
    ],
)  # fmt: skip
def test_only_what_may_help_is_repeated(
    error: KeraserveError, is_repeatable: bool, expected: float | None
) -> None:
    assert wait_s(error, is_repeatable=is_repeatable) == expected


def test_repetitions_are_counted() -> None:
    assert wait_s(FULL, retries=2, failures=1) == 3
    assert wait_s(FULL, retries=2, failures=2) is None
    assert wait_s(FULL, retries=0) is None


def test_what_cannot_come_in_time_is_not_waited_for() -> None:
    assert wait_s(FULL, left_s=3.01) == 3
    assert wait_s(FULL, left_s=3) is None


def test_waits_without_a_word_grow_to_a_limit_and_are_spread() -> None:
    waits = [wait_s(BROKEN, retries=99, failures=n) for n in range(8)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    assert wait_s(BROKEN, chance=0) == 0.05


def test_repetitions_of_hours_wait_as_long_as_ever() -> None:
    assert wait_s(BROKEN, retries=10_000, failures=9_999) == 5


def test_server_that_says_at_once_is_not_asked_without_a_pause() -> None:
    hurried = QueueFullError("full", status=429, code="queue_full", retry_after_s=0)
    assert [wait_s(hurried, retries=9, failures=n) for n in range(3)] == [0.1, 0.2, 0.4]


def test_negative_number_of_repetitions_is_refused() -> None:
    with pytest.raises(ValueError, match="retries is -1"):
        RetryPolicy(-1)
