"""Tallies are to Prometheus what the library's own counters and histograms are."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    enable_created_metrics,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics

from app.tallies import DistributionFamily, TallyFamily

# Bounds that Go and Python write differently are among them.
BUCKETS = (0.00005, 0.001, 0.5, 1, 2_500_000)
# Bounds themselves, and what lies between and beyond them.
VALUES = (0.0, 0.00005, 0.00006, 0.001, 0.25, 0.5, 0.75, 1, 1.5, 2_500_000, 9e9)
LABELS = ("a", "b")
TEXT = "A text\nof two lines."

Write = Callable[[CollectorRegistry], bytes]


def count(counter: Counter | TallyFamily, histogram: Histogram | DistributionFamily) -> None:
    counter.labels("x", 1).inc()
    counter.labels("x", "1").inc(2)
    counter.labels('quoted "', 2)
    for value in VALUES:
        histogram.labels("x", 1).observe(value)
    histogram.labels("y", 1)


def of_the_library() -> CollectorRegistry:
    registry = CollectorRegistry()
    count(
        Counter("served_total", TEXT, LABELS, registry=registry),
        Histogram("took_seconds", TEXT, LABELS, registry=registry, buckets=BUCKETS),
    )
    return registry


def of_ours() -> CollectorRegistry:
    registry = CollectorRegistry()
    count(
        TallyFamily("served_total", TEXT, LABELS, registry=registry),
        DistributionFamily("took_seconds", TEXT, LABELS, registry=registry, buckets=BUCKETS),
    )
    return registry


@pytest.fixture(params=[True, False], ids=["told since when", "not told since when"])
def created(request: pytest.FixtureRequest) -> Iterator[bool]:
    if not request.param:
        disable_created_metrics()  # type: ignore[no-untyped-call]
    yield request.param
    enable_created_metrics()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("write", [generate_latest, generate_open_metrics])
def test_prometheus_reads_the_same_as_of_the_library(write: Write, created: bool) -> None:
    """Also after the library has changed: what it writes, and how a family is described to it."""
    expected, found = (
        re.sub(r"(_created\{.*\}) [0-9.e+]+", r"\1 TIME", write(registry).decode())
        for registry in (of_the_library(), of_ours())
    )
    assert found == expected
    assert ("_created" in found) is created


def test_names_are_taken_as_by_the_library() -> None:
    registry = of_ours()
    for name in ("served", "served_total", "took_seconds_bucket"):
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            Counter(name, "", registry=registry)


def test_another_number_of_labels_is_a_fault_of_the_program() -> None:
    family = TallyFamily("served_total", "", LABELS, registry=CollectorRegistry())
    with pytest.raises(ValueError, match=r"labels \('a', 'b'\); got \('x',\)"):
        family.labels("x")


def test_scrape_in_between_sees_each_value_once_and_failures_never_above_all() -> None:
    """Families are read in the order of their registration, and counted in the other one."""
    registry = CollectorRegistry()
    failed, every = (
        DistributionFamily(name, "", ("route",), registry=registry, buckets=(1, 2)).labels("x")
        for name in ("failed_seconds", "all_seconds")
    )
    is_over = threading.Event()

    def observe() -> None:
        while not is_over.is_set():
            every.observe(1.5)
            failed.observe(1.5)

    thread = threading.Thread(target=observe)
    thread.start()
    try:
        for _ in range(300):
            samples = {
                (sample.name, sample.labels.get("le")): sample.value
                for metric in registry.collect()
                for sample in metric.samples
            }
            for le in ("2.0", "+Inf"):
                assert samples["failed_seconds_bucket", le] <= samples["all_seconds_bucket", le]
            for name in ("failed_seconds", "all_seconds"):
                assert samples[f"{name}_bucket", "1.0"] == 0
                assert samples[f"{name}_bucket", "2.0"] == samples[f"{name}_count", None]
    finally:
        is_over.set()
        thread.join()
