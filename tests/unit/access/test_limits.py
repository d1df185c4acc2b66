"""Limits of many callers, and what one request holds of them."""

from __future__ import annotations

import pytest

from app.access.allowance import LimitPolicy
from app.access.limits import AccessLimits, SubjectKind, SubjectTable, Visit
from app.errors import RateLimitedError
from tests.fakes import FakeClock

RATE = LimitPolicy(rate_per_s=1, burst=2)
ONE_AT_A_TIME = LimitPolicy(max_concurrency=1)
NONE = LimitPolicy()


def table(policy: LimitPolicy, clock: FakeClock, most: int = 100) -> SubjectTable:
    return SubjectTable(SubjectKind.ADDRESS, policy, clock, most)


def refusal(found: SubjectTable, name: str) -> RateLimitedError | None:
    return found.enter(name)[1]


def enter_and_leave(found: SubjectTable, name: str) -> bool:
    if refusal(found, name) is not None:
        return False
    found.leave(name)
    return True


def test_each_caller_has_a_bucket_of_their_own() -> None:
    clock = FakeClock()
    found = table(RATE, clock)
    assert [enter_and_leave(found, name) for name in "aaabba"] == [
        True, True, False, True, True, False,
    ]  # fmt: skip
    clock.advance(1)
    assert [enter_and_leave(found, name) for name in "aab"] == [True, False, True]


def test_refusal_tells_value_limit_setting_and_wait() -> None:
    clock = FakeClock()
    found = table(LimitPolicy(0.5, 1), clock)
    assert refusal(found, "a") is None
    clock.advance(0.5)
    error = refusal(found, "a")
    assert error is not None
    assert error.limit == "rate"
    assert error.retry_after_s == pytest.approx(1.5)
    for part in ("This address", "0.5 requests", "1 at once", "1.5 s",
                 "KERASERVE_ADDRESS_RATE_PER_S", "KERASERVE_ADDRESS_BURST"):  # fmt: skip
        assert part in str(error)

    keys = SubjectTable(SubjectKind.KEY, ONE_AT_A_TIME, clock)
    assert refusal(keys, "photo-app") is None
    error = refusal(keys, "photo-app")
    assert error is not None
    assert error.limit == "concurrency"
    for part in ("key photo-app", "has 1 ", "limit is 1 ", "KERASERVE_KEY_MAX_CONCURRENCY"):
        assert part in str(error)


def test_place_among_those_under_way_is_given_back() -> None:
    found = table(LimitPolicy(max_concurrency=2), FakeClock())
    assert [refusal(found, "a") is None for _ in range(3)] == [True, True, False]
    assert refusal(found, "b") is None
    found.leave("a")
    assert [refusal(found, "a") is None for _ in range(2)] == [True, False]


def test_request_that_has_no_place_takes_no_token() -> None:
    clock = FakeClock()
    found = table(LimitPolicy(rate_per_s=1, burst=2, max_concurrency=1), clock)
    assert refusal(found, "a") is None
    for _ in range(5):
        error = refusal(found, "a")
        assert error is not None
        assert error.limit == "concurrency"
    found.leave("a")
    assert refusal(found, "a") is None


def test_who_has_a_full_bucket_again_is_forgotten_with_those_that_come() -> None:
    clock = FakeClock()
    found = table(RATE, clock)
    for number in range(50):
        enter_and_leave(found, str(number))
    assert len(found) == 50
    clock.advance(1)  # each took one token
    for number in range(25):
        enter_and_leave(found, f"new-{number}")
    assert len(found) == 25


def test_without_a_rate_nobody_is_remembered() -> None:
    found = table(ONE_AT_A_TIME, FakeClock())
    for number in range(50):
        assert enter_and_leave(found, str(number))
    assert len(found) == 0


def test_no_more_are_remembered_than_there_is_room_for_and_the_longest_idle_goes() -> None:
    found = table(RATE, FakeClock(), most=10)
    for name in "ab":
        for _ in range(2):
            enter_and_leave(found, name)
    for number in range(8):
        enter_and_leave(found, str(number))
    assert not enter_and_leave(found, "a"), "remembered, and used just now"
    for number in range(8, 16):
        enter_and_leave(found, str(number))
    assert len(found) == 10
    assert not enter_and_leave(found, "a")
    assert enter_and_leave(found, "b"), "forgotten"


def test_who_has_a_request_under_way_is_never_forgotten() -> None:
    found = table(LimitPolicy(rate_per_s=1, burst=1, max_concurrency=1), FakeClock(), most=3)
    assert refusal(found, "a") is None
    for number in range(20):
        enter_and_leave(found, str(number))
    assert len(found) == 4
    error = refusal(found, "a")
    assert error is not None
    assert error.limit == "concurrency"


# ---- a visit ------------------------------------------------------------------------------------


def test_visit_is_counted_once_and_gives_back_once() -> None:
    limits = AccessLimits(ONE_AT_A_TIME, ONE_AT_A_TIME, FakeClock())
    first, second = Visit(limits), Visit(limits)
    for _ in range(3):
        first.enter_address("a")
        first.enter_key("k")
    assert not first.needs_address
    with pytest.raises(RateLimitedError):
        second.enter_address("a")
    assert second.needs_address
    assert second.refused == ("address", "concurrency")
    first.end()
    second.enter_address("a")
    assert second.refused is None
    first.end()
    with pytest.raises(RateLimitedError):
        Visit(limits).enter_address("a")


def test_visit_that_is_refused_by_key_gives_back_its_place_of_the_address() -> None:
    limits = AccessLimits(LimitPolicy(max_concurrency=2), ONE_AT_A_TIME, FakeClock())
    visits = [Visit(limits) for _ in range(2)]
    visits[0].enter_address("a")
    visits[0].enter_key("k")
    visits[1].enter_address("a")
    with pytest.raises(RateLimitedError):
        visits[1].enter_key("k")
    assert visits[1].refused == ("key", "concurrency")
    visits[1].end()
    Visit(limits).enter_address("a")


def test_limits_that_are_not_set_count_nobody() -> None:
    limits = AccessLimits(NONE, NONE, FakeClock())
    assert (limits.addresses, limits.keys) == (None, None)
    visit = Visit(limits)
    assert not visit.needs_address
    visit.enter_key("k")
    assert visit.headers() == []
    visit.end()


def headers(visit: Visit) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in visit.headers()}


def test_answer_tells_the_draft_all_limits_and_the_older_fields_the_tightest() -> None:
    clock = FakeClock()
    limits = AccessLimits(LimitPolicy(2, 10), LimitPolicy(0.5, 4), clock)
    visit = Visit(limits)
    visit.enter_address("a")
    visit.enter_key("k")
    assert headers(visit) == {
        "ratelimit-policy": '"address";q=10;w=5, "key";q=4;w=8',
        "ratelimit": '"address";r=9;t=1, "key";r=3;t=2',
        "ratelimit-limit": "4",
        "ratelimit-remaining": "3",
        "ratelimit-reset": "2",
    }


def test_refusal_tells_when_the_next_may_come_as_retry_after_does() -> None:
    limits = AccessLimits(LimitPolicy(0.25, 2), NONE, FakeClock())
    for _ in range(2):
        Visit(limits).enter_address("a")
    visit = Visit(limits)
    with pytest.raises(RateLimitedError) as caught:
        visit.enter_address("a")
    assert caught.value.retry_after_s == pytest.approx(4)
    assert headers(visit)["ratelimit"] == '"address";r=0;t=4'
    assert headers(visit)["ratelimit-remaining"] == "0"


def test_limit_of_concurrency_alone_has_no_headers() -> None:
    visit = Visit(AccessLimits(ONE_AT_A_TIME, NONE, FakeClock()))
    visit.enter_address("a")
    assert visit.headers() == []
