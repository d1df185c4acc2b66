"""A study as a picture: what is answered, and how fast, over what is offered."""

from __future__ import annotations

from app.load.chart import BLUE, GREEN, GREY, ORANGE, Mark, Panel, Series, draw
from app.load.study import Study


def plot(study: Study, title: str) -> str:
    """Return the text of an SVG file: answers per second above, times below, on one x axis."""
    knee = study.knee.rate_per_s
    marks = [] if knee is None else [Mark(f"knee: {knee:,g}/s", x=knee)]
    deadline_ms = study.plan.deadline_s * 1e3
    return draw(
        title,
        [
            Panel(
                "What is answered",
                "requests per second, offered",
                "answers per second",
                _answered(study),
                marks,
            ),
            Panel(
                "How fast",
                "requests per second: offered (open loop), answered (closed loop)",
                "milliseconds",
                _times(study),
                [*marks, Mark(f"deadline: {deadline_ms:g} ms", y=deadline_ms)],
                is_log=True,
            ),
        ],
    )


def _answered(study: Study) -> list[Series]:
    points = [(point.rate_per_s or 0.0, point.result) for point in study.open]
    refused = [
        (rate, (found.outcomes.get("429", 0) + found.outcomes.get("503", 0)) / found.seconds)
        for rate, found in points
    ]
    most = max((rate for rate, _ in points), default=0.0)
    series = []
    if points:
        series.append(Series("all offered", [(0, 0), (most, most)], GREY, is_dashed=True))
    if study.capacity_per_s:
        ends = [
            (0.0, study.capacity_per_s),
            (max(most, study.capacity_per_s), study.capacity_per_s),
        ]
        series.append(Series("most in a closed loop", ends, GREEN, is_dashed=True))
    if points:
        in_time = [(rate, found.in_deadline_per_s) for rate, found in points]
        classified = [(rate, found.images_per_s) for rate, found in points]
        series.append(Series("classified", classified, BLUE, is_hollow=True))
        series.append(Series("within the deadline", in_time, BLUE))
    if any(count for _, count in refused):
        series.append(Series("refused", refused, ORANGE))
    return series


def _times(study: Study) -> list[Series]:
    opened = [(point.rate_per_s or 0.0, point.result) for point in study.open]
    closed = [(point.result.images_per_s, point.result) for point in study.closed]
    series = []
    if opened:
        series.append(Series("open loop, p99", [(x, r.p99_ms) for x, r in opened], BLUE))
        series.append(
            Series("open loop, p50", [(x, r.p50_ms) for x, r in opened], BLUE, is_hollow=True)
        )
    if closed:
        names = [
            f"{point.clients} {'client' if point.clients == 1 else 'clients'}"
            for point in study.closed
        ]
        p99 = [(x, r.p99_ms) for x, r in closed]
        p50 = [(x, r.p50_ms) for x, r in closed]
        series.append(Series("closed loop, p99", p99, GREEN, has_line=False))
        series.append(
            Series("closed loop, p50", p50, GREEN, has_line=False, is_hollow=True, labels=names)
        )
    refused = [(x, r.refused_p99_ms) for x, r in opened if r.refused_p99_ms == r.refused_p99_ms]
    if refused:
        series.append(Series("refusals, p99", refused, ORANGE))
    return series
