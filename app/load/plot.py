"""A study as a picture: what is answered, and how fast, over what is offered."""

from __future__ import annotations

from app.charts import Mark, Panel, Series, line_chart
from app.load.study import Study

_OPEN, _REFUSED, _CLOSED, _OFFERED = 0, 1, 2, 5
"""Looks: one meaning, one colour in both panels."""


def plot(study: Study, title: str) -> str:
    """Return the text of an SVG file: answers per second above, times below, on one x axis.

    Without open loops there are only times: what is answered is then their x axis.
    """
    knee = study.knee.rate_per_s
    marks = [] if knee is None else [Mark(f"knee: {knee:,g}/s", x=knee)]
    deadline_ms = study.plan.deadline_s * 1e3
    deadline = Mark(f"deadline: {deadline_ms:g} ms", y=deadline_ms, is_always_shown=True)
    answered = Panel(
        "requests per second, offered",
        "answers per second",
        _answered(study),
        title="What is answered",
        marks=marks,
    )
    times = Panel(
        "requests per second: offered (open loop), answered (closed loop)",
        "milliseconds",
        _times(study),
        title="How fast",
        y_log=True,
        marks=[*marks, deadline],
    )
    return line_chart(title, [answered, times] if study.open else [times])


def _answered(study: Study) -> list[Series]:
    points = [(point.rate_per_s or 0.0, point.result) for point in study.open]
    refused = [
        (rate, (found.outcomes.get("429", 0) + found.outcomes.get("503", 0)) / found.seconds)
        for rate, found in points
    ]
    most = max((rate for rate, _ in points), default=0.0)
    series = []
    if points:
        offered = [(0.0, 0.0), (most, most)]
        series.append(Series("all offered", offered, kind="guide", look=_OFFERED))
    if study.capacity_per_s:
        ends = [
            (0.0, study.capacity_per_s),
            (max(most, study.capacity_per_s), study.capacity_per_s),
        ]
        series.append(Series("most in a closed loop", ends, kind="guide", look=_CLOSED))
    if points:
        in_time = [(rate, found.in_deadline_per_s) for rate, found in points]
        classified = [(rate, found.images_per_s) for rate, found in points]
        series.append(Series("classified", classified, look=_OPEN, is_hollow=True))
        series.append(Series("within the deadline", in_time, look=_OPEN))
    if any(count for _, count in refused):
        series.append(Series("refused", refused, look=_REFUSED))
    return series


def _times(study: Study) -> list[Series]:
    opened = [(point.rate_per_s or 0.0, point.result) for point in study.open]
    closed = [(point.result.images_per_s, point.result) for point in study.closed]
    series = []
    if opened:
        p99 = [(x, r.p99_ms) for x, r in opened]
        p50 = [(x, r.p50_ms) for x, r in opened]
        series.append(Series("open loop, p99", p99, look=_OPEN))
        series.append(Series("open loop, p50", p50, look=_OPEN, is_hollow=True))
    if closed:
        names = [
            f"{point.clients} {'client' if point.clients == 1 else 'clients'}"
            for point in study.closed
        ]
        p99 = [(x, r.p99_ms) for x, r in closed]
        p50 = [(x, r.p50_ms) for x, r in closed]
        series.append(Series("closed loop, p99", p99, kind="points", look=_CLOSED))
        series.append(
            Series("closed loop, p50", p50, names, kind="points", look=_CLOSED, is_hollow=True)
        )
    refused = [(x, r.refused_p99_ms) for x, r in opened if r.refused_p99_ms == r.refused_p99_ms]
    if refused:
        series.append(Series("refusals, p99", refused, look=_REFUSED))
    return series
