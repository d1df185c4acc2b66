"""What the operations say to begin with, against the measurements that it is rounded from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIZING = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
CIFAR10 = RESULTS.split("\n## CIFAR-10\n")[1].split("\n## ")[0]

# What two runs of the benchmark differ by, and what is rounded off.
TOLERANCE = 0.25

NAMES = {
    "openvino, bfloat16": "keraserve",
    "openvino, float32": "keraserve openvino float32",
    "tensorflow, float32": "keraserve tensorflow float32",
}


def number(cell: str) -> float:
    """The median: what stands before the range."""
    return float(cell.split("(")[0].replace(",", ""))


def results(heading: str, column: str) -> dict[str, float]:
    """One column of a table of RESULTS.md, by server."""
    table = CIFAR10.split(f"**{heading}**\n\n")[1].split("\n\n")[0].splitlines()
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table]
    at = header.index(column)
    return {row[0]: number(row[at]) for row in rows if row[0] in NAMES.values()}


def sizing() -> dict[str, list[float]]:
    """The table of the operations, by engine."""
    rows = re.findall(r"^\| (\w+, [bf]\w+) \| (.+) \|$", SIZING, re.MULTILINE)
    return {name: [number(cell) for cell in cells.split(" | ")] for name, cells in rows}


@pytest.mark.parametrize("engine", sorted(NAMES))
def test_sizing_agrees_with_the_measurements(engine: str) -> None:
    start = "Start, memory, idling, agreement"
    measured = [
        results("Closed loops: images/s, by clients", "64"),
        results("Closed loops: p50, ms", "1"),
        results(start, "memory, MiB"),
        results(start, "start to first answer, s"),
    ]
    expected = [column[NAMES[engine]] for column in measured]
    assert sizing()[engine] == pytest.approx(expected, rel=TOLERANCE)


def test_sizing_is_of_these_engines() -> None:
    assert set(sizing()) == set(NAMES)
