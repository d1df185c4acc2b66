from __future__ import annotations

from unittest.mock import sentinel

import pytest

from app.tracing.policy import TracingPolicy
from app.tracing.sampler import Headers, RequestSampler, caller_samples

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


def parent(flags: bytes, version: bytes = b"00", rest: bytes = b"") -> bytes:
    return b"-".join((version, TRACE, SPAN, flags)) + rest


def headers(flags: bytes) -> Headers:
    return [(b"accept", b"*/*"), (b"traceparent", parent(flags)), (b"host", b"h")]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(parent(b"01"), True, id="sampled"),
        pytest.param(parent(b"00"), False, id="not sampled"),
        pytest.param(parent(b"03"), True, id="other flags beside it"),
        pytest.param(parent(b"02"), False, id="other flags alone"),
        pytest.param(parent(b"01", b"cc", b"-what-comes"), True, id="a later version"),
        pytest.param(parent(b"01", b"ff"), None, id="the version that there will never be"),
        pytest.param(parent(b"1"), None, id="too short"),
        pytest.param(parent(b"0g"), None, id="not hexadecimal"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"00-" + b"0" * 32 + b"-" + SPAN + b"-01", None, id="no trace"),
        pytest.param(b"00-" + TRACE + b"-" + b"0" * 16 + b"-01", None, id="no span"),
    ],
)
def test_flag_of_a_caller_is_read(header: bytes, expected: bool | None) -> None:
    assert caller_samples(header) is expected


@pytest.mark.parametrize(
    ("drawn", "given", "follows", "is_traced"),
    [
        pytest.param(0.24, [], True, True, id="drawn"),
        pytest.param(0.25, [], True, False, id="not drawn"),
        pytest.param(0.9, headers(b"01"), True, True, id="the caller says yes"),
        pytest.param(0.0, headers(b"00"), True, False, id="the caller says no"),
        pytest.param(0.24, [(b"traceparent", b"nonsense")], True, True, id="nonsense, drawn"),
        pytest.param(0.9, [(b"traceparent", b"nonsense")], True, False, id="nonsense, not drawn"),
        pytest.param(0.9, headers(b"01"), False, False, id="the caller is not asked, not drawn"),
        pytest.param(0.0, headers(b"00"), False, True, id="the caller is not asked, drawn"),
    ],
)
def test_share_of_the_requests_is_traced_unless_callers_decide(
    drawn: float, given: Headers, follows: bool, is_traced: bool
) -> None:
    policy = TracingPolicy("http://h/v1/traces", 0.25, follows)
    sampler = RequestSampler(policy, lambda *begun: sentinel.trace, lambda: drawn)
    assert (sampler.sample(given, 1.0) is sentinel.trace) == is_traced


def test_trace_begins_when_the_request_came() -> None:
    begun = []

    def begin(headers: Headers, started_s: float) -> object:
        begun.append((headers, started_s))
        return sentinel.trace

    sampler = RequestSampler(TracingPolicy("http://h/v1/traces", 1), begin)  # type: ignore[arg-type]
    sampler.sample([(b"a", b"b")], 12.5)
    assert begun == [([(b"a", b"b")], 12.5)]
