"""Figures, ratios and verdicts that the benchmark prints."""

from __future__ import annotations

import math
from typing import Any

import pytest

from app.load.counters import Spent, parse_totals, spent
from benchmarks.comparison import Comparison, Run
from benchmarks.load.measurement import Measurement
from benchmarks.processors import parse_ps_time
from benchmarks.report import Table, number, ratios, spread, tables
from benchmarks.targets import verdicts

METRICS_BEFORE = """\
# HELP keraserve_batch_size Images per execution.
keraserve_batch_size_bucket{le="1.0",model="cifar10",version="1"} 4.0
keraserve_batch_size_sum{model="cifar10",version="1"} 4.0
keraserve_batch_size_count{model="cifar10",version="1"} 4.0
"""
METRICS_AFTER = """\
keraserve_batch_size_sum{model="cifar10",version="1"} 34.0
keraserve_batch_size_count{model="cifar10",version="1"} 6.0
keraserve_padded_images_total{model="cifar10",version="1"} 10.0
keraserve_queue_delay_seconds_sum{model="cifar10",version="1"} 0.03
keraserve_queue_delay_seconds_count{model="cifar10",version="1"} 30.0
"""


def measurement(clients: int, images_per_s: float, p50_ms: float, **changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "clients": clients,
        "seconds": 8.0,
        "images_per_s": images_per_s,
        "p50_ms": p50_ms,
        "p90_ms": p50_ms * 1.5,
        "p95_ms": p50_ms * 1.7,
        "p99_ms": p50_ms * 2,
        "offered_per_s": images_per_s,
        "in_deadline_per_s": images_per_s,
        "refused_p50_ms": math.nan,
        "refused_p99_ms": math.nan,
        "late_p99_ms": 0.0,
        "max_outstanding": clients,
        "outcomes": {"200": int(images_per_s * 8)},
        "server_cores": 1.5,
        "event_loop_cores": 0.5,
        "generator_cores": 0.1,
        "other_cores": 0.02,
    }
    return Measurement(**fields | changes)


def counted(batch_size: float, queue_ms: float) -> Spent:
    return Spent(batch_size, padding=0.1, decode_ms=0.2, queue_ms=queue_ms, execute_ms=5.0)


@pytest.fixture
def comparison() -> Comparison:
    """Two rounds: Keraserve is 1.5 and 1.1 times as fast, and has 0.5 and 0.68 of the latency."""
    found = Comparison(["keraserve", "handwritten"], idle_cores={"keraserve": 0.004})
    for round_, many, lone in ((1, 900.0, 6.0), (2, 660.0, 8.16)):
        crowd, alone = counted(24.0, 50.0), counted(1.0, 0.05)
        found.runs += [
            Run(round_, "keraserve", measurement(64, many, 90.0), crowd),
            Run(round_, "handwritten", measurement(64, 600.0, 100.0), None),
            Run(round_, "keraserve", measurement(1, 150.0, lone), alone),
            Run(round_, "handwritten", measurement(1, 80.0, 12.0), None),
        ]
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "1,234"),
        (99.96, "100"),
        (12.34, "12.3"),
        (1.0, "1.00"),
        (0.01234, "0.0123"),
        (0.0, "0.00"),
        (0.009999, "0.0100"),
        (1e-9, "1.00e-09"),
        (math.nan, "-"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_spread_of_rounds() -> None:
    assert str(spread([3.0, 1.0, 2.0])) == "2.00 (1.00 to 3.00)"


@pytest.mark.parametrize(
    "values",
    [pytest.param([], id="nothing measured"), pytest.param([1.0, math.nan], id="one unknown")],
)
def test_spread_of_the_unknown_is_unknown(values: list[float]) -> None:
    assert str(spread(values)) == "-"


def test_ratios_are_taken_within_a_round(comparison: Comparison) -> None:
    assert ratios(comparison, 64, "images_per_s") == [1.5, 1.1]
    assert ratios(comparison, 1, "p50_ms") == pytest.approx([0.5, 0.68])


def test_verdicts_judge_the_median(comparison: Comparison) -> None:
    met = {verdict.target: verdict.met for verdict in verdicts(comparison)}
    targets = ("≥ 1.0", "≤ 0.6", "< 1 %", "> 8", "1", "< 1 ms")
    assert met == dict.fromkeys(targets, True)


def test_a_missed_target_is_named(comparison: Comparison) -> None:
    comparison.idle_cores["keraserve"] = 0.02
    missed = [str(verdict) for verdict in verdicts(comparison) if not verdict.met]
    assert missed == ["MISSED: idle CPU of one core: 2.00 % (target: < 1 %)"]


def test_what_was_not_measured_is_not_judged(comparison: Comparison) -> None:
    comparison.runs = [run for run in comparison.runs if run.load.clients == 64]
    met = {verdict.target: verdict.met for verdict in verdicts(comparison)}
    assert met == {"≥ 1.0": True, "≤ 0.6": None, "< 1 %": True, "> 8": True}


def test_the_peer_alone_has_no_targets() -> None:
    alone = Comparison(["handwritten"], runs=[Run(1, "handwritten", measurement(1, 80, 12), None)])
    assert verdicts(alone) == []
    assert [table.title for table in tables(alone)] == ["1 client", "Cores used, median"]


def test_every_round_and_the_median_are_shown(comparison: Comparison) -> None:
    many = tables(comparison)[0]
    assert many.title == "64 clients"
    assert [row[:2] for row in many.rows] == [
        ["keraserve, round 1", "900"],
        ["keraserve, round 2", "660"],
        ["keraserve, median", "780"],
        ["handwritten, round 1", "600"],
        ["handwritten, round 2", "600"],
        ["handwritten, median", "600"],
    ]


def test_table_as_text_and_as_markdown() -> None:
    table = Table("Title", ("name", "n"), [("long name", "1"), ("b", "22")])
    assert table.as_text().splitlines() == [
        "Title",
        "name        n",
        "---------  --",
        "long name   1",
        "b          22",
    ]
    assert table.as_markdown().splitlines()[2:4] == ["| name | n |", "| --- | --: |"]


def test_cpu_time_per_image() -> None:
    load = measurement(64, 500.0, 90.0, server_cores=2.0, outcomes={"200": 4000, "429": 3})
    assert load.cpu_ms_per_image == pytest.approx(4.0)
    assert load.event_loop_ms_per_image == pytest.approx(1.0)
    assert load.failed == 3


def test_means_between_two_readings_of_the_metrics() -> None:
    found = spent(parse_totals(METRICS_BEFORE), parse_totals(METRICS_AFTER))
    assert found.batch_size == 15.0
    assert found.padding == pytest.approx(0.25)
    assert found.queue_ms == pytest.approx(1.0)
    assert math.isnan(found.decode_ms)


def test_label_values_may_hold_anything() -> None:
    assert parse_totals('a_total{path="/x} 9 {"} 2.0\na_total{path="y"} 3.0 1700000\nb 1e3\n') == {
        "a_total": 5.0,
        "b": 1000.0,
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:01.50", 1.5), ("02:03", 123.0), ("1:00:00", 3600.0), ("2-00:00:01", 172_801.0)],
)
def test_cpu_time_as_ps_prints_it(text: str, seconds: float) -> None:
    assert parse_ps_time(text) == seconds
