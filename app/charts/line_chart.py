"""From named points to an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from app.charts.ticks import Axis, linear_axis, log_axis, tick_label

Point = tuple[float, float]
"""x and y; one that is not finite, or not above 0 on a logarithmic axis, is left out, and the line
has a gap there."""

WIDTH, HEIGHT = 860, 480
_LEFT, _TOP, _BOTTOM, _MARGIN = 78, 56, 66, 22
_LETTER = 6.6
"""Width of a letter of 12 px, on average, px: no font can be asked. Sans-serif
ones have 5.5 to 6.5."""
_BOLD_LETTER = 7.2
_MOST_LEGEND = 300
"""Of the width, so that most of it is the chart's, px."""

# Okabe and Ito's colours, which people who see few colours tell apart, darkened where they are too
# light for thin lines on white. Shapes of points say the same once more.
_COLOURS = ("#0072b2", "#d55e00", "#008a64", "#a8497f", "#b07a00", "#8a8a8a", "#333333")
_SHAPES = ("circle", "square", "triangle", "diamond", "cross")
_INK, _PALE, _GRID, _PAPER = "#222222", "#555555", "#dddddd", "#ffffff"
_RIM = f'stroke="{_PAPER}" stroke-width="2.5" paint-order="stroke"'
"""Keeps text legible over lines."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line.

    Attributes:
        name: In the legend.
        points: In the order in which they are joined.
        labels: Beside the points, in their order; empty: none.
        is_bold: Whether it stands out: what is recommended, for instance.
    """

    name: str
    points: Sequence[Point]
    labels: Sequence[str] = ()
    is_bold: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A dashed line across the chart, at a value of one axis.

    Attributes:
        label: Beside it.
        x: Where it stands upright; None: it lies.
        y: Where it lies; None: it stands.
    """

    label: str
    x: float | None = None
    y: float | None = None


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    *,
    x_log: bool = False,
    y_log: bool = False,
    marks: Sequence[Mark] = (),
    description: str = "",
) -> str:
    """Draw lines with points over two axes.

    The paper is white whatever is around it, so the picture reads on dark pages, too.

    Args:
        title: Above the chart, and its name for screen readers.
        x_label: Below the chart, with the unit.
        y_label: Beside the chart, with the unit.
        series: Lines; none, or none with a point, says so in the picture.
        x_log: Whether equal factors of x have equal widths. Linear axes begin at 0.
        y_log: Whether equal factors of y have equal heights.
        marks: Dashed lines. A mark never stretches an axis: one outside is left out.
        description: What the picture shows, for screen readers; empty: names and ranges of the
            series.

    Returns:
        One SVG document, ``WIDTH`` by ``HEIGHT`` px, which needs no other file.
    """
    lines = [_Line(index, entry, (x_log, y_log)) for index, entry in enumerate(series)]
    points = [point for line in lines for part in line.parts for _, point in part]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    frame = _Frame(
        log_axis(xs) if x_log else linear_axis(xs),
        log_axis(ys) if y_log else linear_axis(ys),
        _legend_width(series),
    )
    text = description or _describe(lines)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="chart-title '
            'chart-description" font-family="system-ui, sans-serif" font-size="12" '
            f'fill="{_INK}">',
            f'<title id="chart-title">{escape(title)}</title>',
            f'<desc id="chart-description">{escape(text)}</desc>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{_PAPER}"/>',
            f'<text x="{_LEFT}" y="30" font-size="16" font-weight="600">{escape(title)}</text>',
            *frame.axes(x_label, y_label),
            *(part for line in lines for part in line.drawn(frame)),
            *(part for mark in marks for part in frame.mark(mark)),
            *(part for line in lines for part in line.legend(frame, len(lines))),
            *([] if points else [frame.nothing()]),
            "</svg>\n",
        ]
    )


def _legend_width(series: Sequence[Series]) -> float:
    widths: list[float] = [
        len(entry.name) * (_BOLD_LETTER if entry.is_bold else _LETTER) for entry in series
    ]
    return min(34 + max(widths), _MOST_LEGEND) if widths else 0.0


def _describe(lines: Sequence[_Line]) -> str:
    told = []
    for line in lines:
        points = [point for part in line.parts for _, point in part]
        if points:
            ends = (f"{x:.4g}, {y:.4g}" for x, y in (points[0], points[-1]))
            told.append(f"{line.series.name}: from ({') to ('.join(ends)})")
    return "; ".join(told) or "no data"


class _Frame:
    """The rectangle between the axes, and where numbers stand in it."""

    def __init__(self, x: Axis, y: Axis, legend_width: float) -> None:
        self._x, self._y = x, y
        self.right = WIDTH - _MARGIN - (legend_width + 16 if legend_width else 0)
        self.bottom = HEIGHT - _BOTTOM

    def place(self, point: Point) -> Point:
        """Return where a point stands, px from the upper left corner of the picture."""
        return (
            _LEFT + self._x.share(point[0]) * (self.right - _LEFT),
            self.bottom - self._y.share(point[1]) * (self.bottom - _TOP),
        )

    def axes(self, x_label: str, y_label: str) -> Iterator[str]:
        """Draw grid, ticks, their labels and what is measured along them."""
        for tick in self._x.ticks:
            x, _ = self.place((tick, self._y.low))
            yield _segment((x, _TOP), (x, self.bottom), _GRID)
            yield _text((x, self.bottom + 18), tick_label(tick), "middle", _PALE)
        for tick in self._y.ticks:
            _, y = self.place((self._x.low, tick))
            yield _segment((_LEFT, y), (self.right, y), _GRID)
            yield _text((_LEFT - 8, y + 4), tick_label(tick), "end", _PALE)
        yield _segment((_LEFT, self.bottom), (self.right, self.bottom), _PALE)
        yield _segment((_LEFT, _TOP), (_LEFT, self.bottom), _PALE)
        yield _text(((_LEFT + self.right) / 2, self.bottom + 44), x_label, "middle")
        middle = (_TOP + self.bottom) / 2
        yield (
            f'<text x="18" y="{middle:.1f}" text-anchor="middle" '
            f'transform="rotate(-90 18 {middle:.1f})">{escape(y_label)}</text>'
        )

    def mark(self, mark: Mark) -> Iterator[str]:
        """Draw a dashed line with its label, where it is in sight."""
        if mark.x is not None and self._x.low <= mark.x <= self._x.high:
            x, _ = self.place((mark.x, self._y.low))
            yield _segment((x, _TOP), (x, self.bottom), _PALE, 'stroke-dasharray="5 4"')
            # On the side where there is room.
            is_right = x > (_LEFT + self.right) / 2
            place = (x - 5 if is_right else x + 5, self.bottom - 8)
            yield _text(place, mark.label, "end" if is_right else "start", _PALE, _RIM)
        if mark.y is not None and self._y.low <= mark.y <= self._y.high:
            _, y = self.place((self._x.low, mark.y))
            yield _segment((_LEFT, y), (self.right, y), _PALE, 'stroke-dasharray="5 4"')
            below = y < _TOP + 16
            yield _text(
                (self.right - 4, y + 14 if below else y - 5), mark.label, "end", _PALE, _RIM
            )

    def nothing(self) -> str:
        """Say that there is nothing to draw."""
        return _text(((_LEFT + self.right) / 2, (_TOP + self.bottom) / 2), "no data", "middle")


class _Line:
    """One series with its colour and shape, in parts between its gaps."""

    def __init__(self, index: int, series: Series, is_log: tuple[bool, bool]) -> None:
        self._index = index
        self._colour = _COLOURS[index % len(_COLOURS)]
        # Coprime lengths: colour and shape together repeat after 35 lines.
        self._shape = _SHAPES[index % len(_SHAPES)]
        self.series = series
        self.parts: list[list[tuple[int, Point]]] = [[]]
        for number, (x, y) in enumerate(series.points):
            if _can_stand(x, is_log[0]) and _can_stand(y, is_log[1]):
                self.parts[-1].append((number, (x, y)))
            elif self.parts[-1]:
                self.parts.append([])

    def drawn(self, frame: _Frame) -> Iterator[str]:
        """Draw lines, points, and the labels of the points."""
        width = 3 if self.series.is_bold else 1.6
        for part in self.parts:
            places = [(number, frame.place(point)) for number, point in part]
            if len(places) > 1:
                joined = " ".join(f"{x:.1f},{y:.1f}" for _, (x, y) in places)
                yield (
                    f'<polyline points="{joined}" fill="none" stroke="{self._colour}" '
                    f'stroke-width="{width}" stroke-linejoin="round"/>'
                )
            for number, (x, y) in places:
                yield _point(self._shape, (x, y), self._colour, 4.5 if self.series.is_bold else 3.5)
                if number < len(self.series.labels):
                    label = self.series.labels[number]
                    more = f'font-size="10" {_RIM}'
                    yield _text((x, y - 8), label, "middle", self._colour, more)

    def legend(self, frame: _Frame, count: int) -> Iterator[str]:
        """Draw what the line is called, beside the chart; ``count`` lines share the height."""
        distance = min(20.0, (HEIGHT - _TOP - 20) / count)
        x, y = frame.right + 16, _TOP + 8 + self._index * distance
        width = 3 if self.series.is_bold else 1.6
        yield _segment((x, y), (x + 24, y), self._colour, f'stroke-width="{width}"')
        yield _point(self._shape, (x + 12, y), self._colour, 3.5)
        most = int((_MOST_LEGEND - 34) / _LETTER)
        name = self.series.name
        shown = name if len(name) <= most else f"{name[: most - 1]}…"
        weight = ' font-weight="600"' if self.series.is_bold else ""
        yield f'<text x="{x + 32:.1f}" y="{y + 4:.1f}"{weight}>{escape(shown)}</text>'


def _can_stand(value: float, is_log: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not is_log)


def _segment(start: Point, end: Point, colour: str, more: str = "") -> str:
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{colour}"{" " if more else ""}{more}/>'
    )


def _text(place: Point, text: str, anchor: str, colour: str = _INK, more: str = "") -> str:
    return (
        f'<text x="{place[0]:.1f}" y="{place[1]:.1f}" text-anchor="{anchor}" '
        f'fill="{colour}"{" " if more else ""}{more}>{escape(text)}</text>'
    )


def _point(shape: str, place: Point, colour: str, size: float) -> str:
    x, y = place
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>'
    if shape == "cross":
        return (
            f'<path d="M{x - size:.1f} {y - size:.1f}L{x + size:.1f} {y + size:.1f}'
            f'M{x - size:.1f} {y + size:.1f}L{x + size:.1f} {y - size:.1f}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "triangle": ((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    }[shape]
    joined = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in corners)
    return f'<polygon points="{joined}" fill="{colour}"/>'
