"""What a study found: tables, one sentence, and a document for programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.load.knee import SHARE
from app.load.recorder import NOT_SENT
from app.load.study import Point, Study
from app.text_table import text_table

SCHEMA = 1
"""Of the document; raised when a field changes its meaning."""


def tables(study: Study) -> list[str]:
    """Return the lines of a table of the closed loops and one of the open ones."""
    lines: list[str] = []
    if study.closed:
        lines += ["Closed loop: each client sends when its answer is there", ""]
        lines += _table(study.closed, _CLOSED)
    if study.open:
        deadline = f"{study.plan.deadline_s * 1e3:g} ms"
        lines += [""] if lines else []
        lines += [
            f"Open loop: requests at a rate, times from when they were due, deadline {deadline}"
        ]
        lines += ["", *_table(study.open, _OPEN)]
    if any(point.spent is None for point in study.points):
        lines += ["", "The server's /metrics are out of reach: no batch size and queue time."]
    return lines


def sentence(study: Study) -> str:
    """Return what it means."""
    capacity_per_s = study.capacity_per_s
    if not study.points or not any(point.result.images_per_s for point in study.points):
        return "Nothing was classified."
    deadline = f"{study.plan.deadline_s * 1e3:g} ms"
    clauses = []
    if capacity_per_s:
        best = max(study.closed, key=lambda point: point.result.images_per_s)
        clients = f"{best.clients} {'client' if best.clients == 1 else 'clients'}"
        clauses.append(f"The server classifies up to {capacity_per_s:,.0f} images/s ({clients})")
    knee = study.knee
    if knee.rate_per_s is not None:
        rate = f"{knee.rate_per_s:,g} requests/s"
        share = f" ({knee.rate_per_s / capacity_per_s:.0%} of that)" if capacity_per_s else ""
        text = f"up to {rate}{share} at least {SHARE:.0%} are answered within {deadline}"
        if knee.failing_per_s is None:
            text += ", and no higher rate was measured"
        else:
            text += f", at {knee.failing_per_s:,g} no more"
        clauses.append(text)
    elif knee.failing_per_s is not None:
        clauses.append(
            f"already at {knee.failing_per_s:,g} requests/s fewer than {SHARE:.0%} are answered "
            f"within {deadline}"
        )
    joined = "; ".join(clauses) + "."
    return joined[0].upper() + joined[1:]


def remarks(study: Study) -> list[str]:
    """Return what takes something away from the figures."""
    found = []
    if study.ended:
        found.append(f"Ended early: {study.ended}.")
    if study.left_out:
        limit = f"{study.plan.time_limit_s:g} s"
        found.append(
            f"Left out, as {limit} were over (--time-limit-s): {', '.join(study.left_out)}."
        )
    if study.failed:
        what = ", ".join(f"{count} × {outcome}" for outcome, count in study.failed.items())
        found.append(f"Requests that should not have failed: {what}.")
    late = [p for p in study.open if p.result.late_p99_ms > study.plan.deadline_s * 1e3 / 10]
    if late:
        names = ", ".join(point.name for point in late)
        found.append(
            "This machine was too busy to send in time (1 % of the requests left later than a "
            f"tenth of the deadline): {names}. What is late here counts as the server's."
        )
    return found


def document(study: Study, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything, as JSON has it: what is unknown is None.

    Args:
        study: The measurements.
        facts: What was measured: the server, the model, the images.
    """
    knee = study.knee
    return {
        "schema": SCHEMA,
        **facts,
        "plan": _plain(asdict(study.plan)),
        "capacity_images_per_s": study.capacity_per_s or None,
        "knee": {
            "requests_per_s": knee.rate_per_s,
            "failing_requests_per_s": knee.failing_per_s,
            "share": SHARE,
        },
        "summary": sentence(study),
        "remarks": remarks(study),
        "failed": study.failed,
        "left_out": study.left_out,
        "closed_loop": [_described(point) for point in study.closed],
        "open_loop": [_described(point) for point in study.open],
    }


def number(value: float) -> str:
    """Return three significant digits or all whole ones: 1,234  12.3  0.012; ``-`` for NaN."""
    if math.isnan(value):
        return "-"
    if value == 0 or abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def _described(point: Point) -> dict[str, Any]:
    load = {"clients": point.clients} if point.clients else {"requests_per_s": point.rate_per_s}
    server = None if point.spent is None else asdict(point.spent)
    figures = {**load, "share_in_time": point.share_in_time, **asdict(point.result)}
    return {name: _plain(value) for name, value in figures.items()} | {"server": _plain(server)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_Column = tuple[str, Callable[[Point], str]]


def _refused_per_s(point: Point) -> float:
    counts = point.result.outcomes
    return (counts.get("429", 0) + counts.get("503", 0)) / point.result.seconds


def _failed(point: Point) -> str:
    return ", ".join(f"{count} × {outcome}" for outcome, count in point.failed.items()) or "0"


_LATENCY: tuple[_Column, ...] = (
    ("p50 ms", lambda point: number(point.result.p50_ms)),
    ("p95 ms", lambda point: number(point.result.p95_ms)),
    ("p99 ms", lambda point: number(point.result.p99_ms)),
)
_REFUSED: tuple[_Column, ...] = (
    ("refused/s", lambda point: number(_refused_per_s(point))),
    ("their p99 ms", lambda point: number(point.result.refused_p99_ms)),
)
_SERVER: tuple[_Column, ...] = (
    ("mean batch", lambda point: number(point.spent.batch_size if point.spent else math.nan)),
    ("queue ms", lambda point: number(point.spent.queue_ms if point.spent else math.nan)),
    ("failed", _failed),
)
_CLOSED: tuple[_Column, ...] = (
    ("clients", lambda point: str(point.clients)),
    ("images/s", lambda point: number(point.result.images_per_s)),
    *_LATENCY,
    *_REFUSED,
    *_SERVER,
)
_OPEN: tuple[_Column, ...] = (
    ("offered/s", lambda point: number(point.rate_per_s or 0.0)),
    ("in time/s", lambda point: number(point.result.in_deadline_per_s)),
    ("in time", lambda point: f"{math.floor(point.share_in_time * 1000) / 10:.1f} %"),
    *_LATENCY,
    *_REFUSED,
    (
        "not sent/s",
        lambda point: number(point.result.outcomes.get(NOT_SENT, 0) / point.result.seconds),
    ),
    *_SERVER,
)


def _table(points: Sequence[Point], columns: Sequence[_Column]) -> list[str]:
    rows = [[head for head, _ in columns]]
    rows += [[cell(point) for _, cell in columns] for point in points]
    return text_table(rows, left=())
