"""The pure modules of the page, held against what they promise, in the browser that runs them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from tests.api.live_server import LiveServer
from tests.browser.playground import Playground


@pytest.fixture(scope="module")
def playground(
    browser: Browser, server: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playground]:
    """One page for all: nothing here changes it."""
    page = Playground.open(browser, server.url, tmp_path_factory.mktemp("page"))
    yield page
    page.assert_kept_the_rules()
    page.close()


def test_text_of_prometheus_is_read_with_every_escape(playground: Playground) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("a_gauge", "Text with\nlines.", ["name", "other"], registry=registry)
    strange = 'a "quoted" \\ back\nslash, {braces}="x"'
    gauge.labels(strange, "").set(1.5e-7)
    gauge.labels("inf", "b").set(float("inf"))
    Gauge("plain", "", registry=registry).set(-3)
    text = generate_latest(registry).decode()

    read = "Object.fromEntries(module.parse(given[0]))"
    series = playground.call("prometheus.js", f"{read}", text)
    assert series["plain"] == [{"labels": {}, "value": -3}]
    assert series["a_gauge"] == [
        {"labels": {"name": strange, "other": ""}, "value": 1.5e-7},
        {"labels": {"name": "inf", "other": "b"}, "value": float("inf")},
    ]


@pytest.mark.parametrize(
    ("share", "values", "expected"),
    [
        pytest.param(0.5, [0.5, 1.5, 2.5, 3.5], 2.0, id="linear within a bucket"),
        pytest.param(0.25, [0.5, 1.5, 2.5, 3.5], 1.0, id="at the bound of one"),
        pytest.param(0.5, [0.5], 0.5, id="from 0 in the first one"),
        pytest.param(0.99, [100.0], 4.0, id="above all: the highest bound"),
        pytest.param(0.5, [], None, id="nothing counted"),
    ],
)
def test_quantiles_are_those_of_prometheus(
    playground: Playground, share: float, values: list[float], expected: float | None
) -> None:
    registry = CollectorRegistry()
    histogram = Histogram("h", "", ["route"], buckets=(1, 2, 3, 4), registry=registry)
    for value in values:
        histogram.labels("/a").observe(value)
    histogram.labels("/other").observe(3.9)
    text = generate_latest(registry).decode()

    counts = "module.buckets(module.parse(given[1]), 'h', ({ route }) => route === '/a')"
    found = playground.call("prometheus.js", f"module.quantile(given[0], {counts})", share, text)
    assert found == expected


def test_increase_is_what_came_between_and_null_after_a_restart(playground: Playground) -> None:
    increase = "module.increase(given[0], given[1])"
    before, after = [[1, 2], [2, 5]], [[1, 2], [2, 9]]
    assert playground.call("prometheus.js", increase, before, after) == [[1, 0], [2, 4]]
    assert playground.call("prometheus.js", increase, [], after) == after
    assert playground.call("prometheus.js", increase, after, before) is None


def test_part_is_taken_off_the_whole_and_never_more_than_that(playground: Playground) -> None:
    without = "module.without(given[0], given[1])"
    whole = [[1, 4], [2, 9]]
    assert playground.call("prometheus.js", without, whole, [[1, 3], [2, 3]]) == [[1, 1], [2, 6]]
    assert playground.call("prometheus.js", without, whole, []) == whole
    assert playground.call("prometheus.js", without, whole, [[1, 5], [2, 9]]) == [[1, 0], [2, 0]]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ("two\nlines", '"two\nlines"'),
        ("=1+1", "'=1+1"),
        ("=a,b", '"\'=a,b"'),
        ("\tx", "'\tx"),
        ("\rx", '"\'\rx"'),
        ("a=b", "a=b"),
        (-0.5, "-0.5"),
        (None, ""),
        ("", ""),
    ],
    ids=repr,
)
def test_cell_of_csv_is_quoted_and_disarmed(
    playground: Playground, value: object, written: str
) -> None:
    assert playground.call("csv.js", "module.cell(given[0])", value) == written
    read = list(csv.reader(io.StringIO(f"{written},end\r\n", newline=""), strict=True))
    assert read[0][-1] == "end"
    assert len(read[0]) == 2


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        ("percent(1)", "100.0 %"),
        ("percent(0.99996)", "100.00 %"),
        ("percent(0.9312)", "93.1 %"),
        ("percent(0.0004)", "< 0.1 %"),
        ("percent(0)", "0.0 %"),
        ("duration(0.214)", "0.21 ms"),
        ("duration(12.34)", "12.3 ms"),
        ("duration(345.6)", "346 ms"),
        ("duration(1234)", "1.23 s"),
        ("duration(null)", "–"),
        ("rate(0)", "0"),
        ("rate(0.5)", "0.5"),
        ("rate(1234.5)", "1,235"),
        ("bytes(999)", "999 B"),
        ("bytes(3846)", "3.8 kB"),
        ("bytes(2500000)", "2.5 MB"),
        ("plural(1, 'class', 'classes')", "1 class"),
        ("plural(10000, 'picture')", "10,000 pictures"),
    ],
)
def test_numbers_are_written_as_people_read_them(
    playground: Playground, call: str, shown: str
) -> None:
    assert playground.call("format.js", f"module.{call}") == shown
