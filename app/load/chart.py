"""Line charts as SVG, with the standard library alone: panels of one width below each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

BLUE, ORANGE, GREEN, GREY = "#1f6fb4", "#d9660d", "#2b8a3e", "#868e96"

_WIDTH, _PANEL_HEIGHT = 860, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 210, 40, 52
_TITLE_HEIGHT = 44
_TICKS = 6
_TEXT = "#212529"
_FRAME = "#ced4da"
_GRID = "#e9ecef"


@dataclass(frozen=True, slots=True)
class Series:
    """Points ``(x, y)`` of one kind; those with a NaN are left out.

    Attributes:
        name: For the legend.
        points: In the order in which a line joins them.
        colour: Of line and points.
        has_line: Whether a line joins them.
        is_hollow: Whether the points are rings.
        is_dashed: Of the line; without points.
        labels: Beside the points; empty for none.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    has_line: bool = True
    is_hollow: bool = False
    is_dashed: bool = False
    labels: Sequence[str] = ()

    @property
    def known(self) -> list[tuple[float, float, str]]:
        """The points that can be drawn, with their labels."""
        labels = [*self.labels, *[""] * (len(self.points) - len(self.labels))]
        return [
            (x, y, label)
            for (x, y), label in zip(self.points, labels, strict=True)
            if math.isfinite(x) and math.isfinite(y)
        ]


@dataclass(frozen=True, slots=True)
class Mark:
    """A straight line across a panel, with a word beside it.

    Attributes:
        text: What it means.
        x: Where it stands upright; or
        y: where it lies.
    """

    text: str
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes. The x axis begins at 0; the y axis too, unless it is logarithmic."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    marks: Sequence[Mark] = ()
    is_log: bool = False


def draw(title: str, panels: Sequence[Panel]) -> str:
    """Return the text of an SVG file; all panels have the same x axis."""
    height = _TITLE_HEIGHT + _PANEL_HEIGHT * len(panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12" fill="{_TEXT}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_LEFT, 28, title, size=16, weight="bold"),
    ]
    most_x = max((x for panel in panels for x in _xs(panel)), default=1.0)
    for number, panel in enumerate(panels):
        lines += _Drawing(panel, most_x, _TITLE_HEIGHT + number * _PANEL_HEIGHT).lines()
    return "\n".join([*lines, "</svg>"]) + "\n"


def ticks(most: float) -> list[float]:
    """Return round steps from 0 to the first one at or above ``most``."""
    rough = (most if most > 0 else 1.0) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    # The 1e-9: 0.3 / 0.1 must not count as more than 3.
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    count = math.ceil(most / step - 1e-9) if most > 0 else 1
    return [round(number * step, 12) for number in range(max(1, count) + 1)]


def log_ticks(least: float, most: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten, from below ``least`` > 0 to above ``most``."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    powers = range(first, max(last, first + 1) + 1)
    if len(powers) > _TICKS:
        return [float(f"1e{power}") for power in powers]
    steps = [float(f"{m}e{power}") for power in powers for m in (1, 2, 5)]
    below = max(number for number, step in enumerate(steps) if step <= least)
    above = min(number for number, step in enumerate(steps) if step >= most)
    return steps[below : max(above, below + 1) + 1]


def _xs(panel: Panel) -> Iterable[float]:
    yield from (x for series in panel.series for x, _, _ in series.known)
    yield from (mark.x for mark in panel.marks if mark.x is not None)


def _ys(panel: Panel) -> Iterable[float]:
    yield from (y for series in panel.series for _, y, _ in series.known)
    yield from (mark.y for mark in panel.marks if mark.y is not None)


class _Drawing:
    """One panel on its place of the sheet."""

    def __init__(self, panel: Panel, most_x: float, top: int) -> None:
        self._panel = panel
        self._x_ticks = ticks(most_x)
        ys = [y for y in _ys(panel) if y > 0] if panel.is_log else list(_ys(panel))
        if panel.is_log:
            self._y_ticks = log_ticks(min(ys, default=1.0), max(ys, default=10.0))
        else:
            self._y_ticks = ticks(max(ys, default=1.0))
        self._left, self._right = _LEFT, _WIDTH - _RIGHT
        self._top, self._bottom = top + _TOP, top + _PANEL_HEIGHT - _BOTTOM

    def lines(self) -> list[str]:
        """Return its elements, what lies below first."""
        found = [_text(self._left, self._top - 12, self._panel.title, size=13, weight="bold")]
        found += self._axes()
        for series in self._panel.series:
            found += self._curve(series)
        for mark in self._panel.marks:
            found += self._mark(mark)
        return found + self._legend()

    def _x(self, value: float) -> float:
        return self._left + (self._right - self._left) * value / self._x_ticks[-1]

    def _y(self, value: float) -> float:
        first, last = self._y_ticks[0], self._y_ticks[-1]
        if self._panel.is_log:
            value, first, last = (math.log10(max(v, first)) for v in (value, first, last))
        return self._bottom - (self._bottom - self._top) * (value - first) / (last - first)

    def _axes(self) -> list[str]:
        found = []
        for tick in self._x_ticks:
            x = self._x(tick)
            found.append(_line(x, self._top, x, self._bottom, _GRID))
            found.append(_text(x, self._bottom + 17, f"{tick:,g}", anchor="middle"))
        for tick in self._y_ticks:
            y = self._y(tick)
            found.append(_line(self._left, y, self._right, y, _GRID))
            found.append(_text(self._left - 8, y + 4, f"{tick:,g}", anchor="end"))
        width, height = self._right - self._left, self._bottom - self._top
        found.append(
            f'<rect x="{self._left}" y="{self._top}" width="{width}" height="{height}" '
            f'fill="none" stroke="{_FRAME}"/>'
        )
        middle = self._left + width / 2
        found.append(_text(middle, self._bottom + 38, self._panel.x_label, anchor="middle"))
        x, y = 20, self._top + height / 2
        found.append(
            _text(x, y, self._panel.y_label, anchor="middle", turned=f"rotate(-90 {x} {y:.1f})")
        )
        return found

    def _mark(self, mark: Mark) -> list[str]:
        if mark.x is not None:
            x = self._x(mark.x)
            line = _line(x, self._top, x, self._bottom, GREY, dashes="2 3", width=1.5)
            # Upright, beside the line, at the end where the curves are not.
            place = f"rotate(-90 {x - 5:.1f} {self._bottom - 8})"
            return [line, _text(x - 5, self._bottom - 8, mark.text, turned=place, colour=GREY)]
        y = self._y(mark.y or 0.0)
        line = _line(self._left, y, self._right, y, GREY, dashes="2 3", width=1.5)
        return [line, _text(self._left + 6, y - 5, mark.text, colour=GREY)]

    def _curve(self, series: Series) -> list[str]:
        places = [(self._x(x), self._y(y), label) for x, y, label in series.known]
        found = []
        if series.has_line and len(places) > 1:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
            dashes = ' stroke-dasharray="6 4"' if series.is_dashed else ""
            found.append(
                f'<polyline points="{points}" fill="none" stroke="{series.colour}" '
                f'stroke-width="2" stroke-linejoin="round"{dashes}/>'
            )
        if series.is_dashed:
            return found
        for x, y, label in places:
            found.append(_dot(x, y, series))
            if label:
                found.append(_text(x + 9, y + 4, label, size=11, colour=series.colour))
        return found

    def _legend(self) -> list[str]:
        found = []
        for number, series in enumerate(self._panel.series):
            x, y = self._right + 16, self._top + 10 + 20 * number
            if series.has_line:
                dashes = "6 4" if series.is_dashed else ""
                found.append(_line(x, y, x + 22, y, series.colour, dashes=dashes, width=2))
            if not series.is_dashed:
                found.append(_dot(x + 11, y, series))
            found.append(_text(x + 30, y + 4, series.name))
        return found


def _dot(x: float, y: float, series: Series) -> str:
    fill = "#ffffff" if series.is_hollow else series.colour
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{series.colour}" '
        'stroke-width="1.5"/>'
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, *, dashes: str = "", width: float = 1
) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: str = "normal",
    colour: str = _TEXT,
    turned: str = "",
) -> str:
    transform = f' transform="{turned}"' if turned else ""
    # The white seam keeps words legible where a curve passes behind them.
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{colour}" stroke="#ffffff" stroke-width="3" '
        f'paint-order="stroke"{transform}>{escape(text)}</text>'
    )
