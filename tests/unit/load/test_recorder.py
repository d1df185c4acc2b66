"""The figures that are made of single requests."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.load.recorder import NOT_SENT, Recorder


def test_percentiles_are_those_of_numpy() -> None:
    latencies_s = np.random.default_rng(1).exponential(0.01, 1001)
    recorder = Recorder()
    for latency_s in latencies_s:
        recorder.answered(200, float(latency_s))
    found = recorder.result(1.0)
    expected = np.percentile(latencies_s, (50, 90, 95, 99)) * 1e3
    assert (found.p50_ms, found.p90_ms, found.p95_ms, found.p99_ms) == pytest.approx(expected)


def test_only_200_within_the_deadline_is_in_time_and_refusals_are_apart() -> None:
    recorder = Recorder(deadline_s=0.1)
    recorder.offered, recorder.completed = 7, 3
    recorder.answered(200, 0.1)
    recorder.answered(200, 0.100001)
    recorder.answered(429, 0.001)
    recorder.answered(503, 0.003)
    recorder.answered(500, 0.05)
    recorder.failed(NOT_SENT)
    recorder.late_s.extend((0.001, 0.001))
    found = recorder.result(2.0)
    assert found.in_deadline_per_s == 0.5
    assert (found.offered_per_s, found.images_per_s) == (3.5, 1.5)
    assert found.p50_ms == pytest.approx(100, abs=0.01)
    assert found.refused_p50_ms == pytest.approx(2)
    assert found.refused_p99_ms == pytest.approx(2.98)
    assert found.late_p99_ms == pytest.approx(1)
    assert found.outcomes == {"200": 2, "429": 1, "503": 1, "500": 1, NOT_SENT: 1}


def test_times_of_nothing_are_unknown() -> None:
    found = Recorder().result(1.0)
    assert math.isnan(found.p99_ms)
    assert math.isnan(found.refused_p99_ms)
    assert found.late_p99_ms == 0
    assert found.in_deadline_per_s == 0
