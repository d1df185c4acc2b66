"""One series as it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator

from app.charts.elements import COLOURS, DASHES, RIM, SHAPES, segment, symbol, words
from app.charts.frame import LETTER, Frame
from app.charts.panel import Point, Series

MOST_LEGEND = 300
"""Width of a legend, so that most of the picture is the chart's, px."""
_BOLD_LETTER = 7.2
_SIGN = 34
"""Width of line and point before a name, px."""
_ROW = 20.0
"""Height of an entry of a legend, px."""
_LABEL_SIZE = 11


class Curve:
    """One series with its colour and shape, in parts between its gaps.

    Args:
        index: Its place among the series of its panel, from 0.
        series: What is drawn.
        is_log: Whether x and y are logarithmic.
    """

    def __init__(self, index: int, series: Series, is_log: tuple[bool, bool]) -> None:
        """Leave out what cannot be drawn."""
        self._index = index
        look = index if series.look is None else series.look
        self._colour = COLOURS[look % len(COLOURS)]
        # Coprime lengths: colour and shape together repeat after 35 lines.
        self._shape = SHAPES[look % len(SHAPES)]
        self.series = series
        self._parts: list[list[tuple[int, Point]]] = [[]]
        for number, (x, y) in enumerate(series.points):
            if _can_stand(x, is_log[0]) and _can_stand(y, is_log[1]):
                self._parts[-1].append((number, (x, y)))
            elif self._parts[-1]:
                self._parts.append([])

    @property
    def points(self) -> list[Point]:
        """Those that stand somewhere."""
        return [point for part in self._parts for _, point in part]

    @property
    def legend_width(self) -> float:
        """What its entry in the legend needs, px."""
        letter = _BOLD_LETTER if self.series.is_bold else LETTER
        return min(_SIGN + len(self.series.name) * letter, MOST_LEGEND)

    @property
    def description(self) -> str:
        """Its name and ends; empty if it has no point."""
        points = self.points
        if not points:
            return ""
        ends = (f"{x:.4g}, {y:.4g}" for x, y in (points[0], points[-1]))
        return f"{self.series.name}: from ({') to ('.join(ends)})"

    def drawn(self, frame: Frame) -> Iterator[str]:
        """Draw lines, points, and the labels of the points."""
        for part in self._parts:
            places = [(number, frame.place(point)) for number, point in part]
            if len(places) > 1 and self.series.kind != "points":
                joined = " ".join(f"{x:.1f},{y:.1f}" for _, (x, y) in places)
                yield (
                    f'<polyline points="{joined}" fill="none" stroke="{self._colour}" '
                    f'stroke-linejoin="round" {self._stroke}/>'
                )
            if self.series.kind == "guide":
                continue
            for number, place in places:
                yield self._sign(place, 4.5 if self.series.is_bold else 3.5)
                if number < len(self.series.labels):
                    yield self._label(frame, place, self.series.labels[number])

    def legend(self, frame: Frame, count: int) -> Iterator[str]:
        """Draw what it is called, beside the chart; ``count`` entries share the height."""
        distance = min(_ROW, (frame.bottom - frame.top + _ROW) / count)
        x, y = frame.right + 16, frame.top + 8 + self._index * distance
        if self.series.kind != "points":
            yield segment((x, y), (x + 24, y), self._colour, self._stroke)
        if self.series.kind != "guide":
            yield self._sign((x + 12, y), 3.5)
        most = int((MOST_LEGEND - _SIGN) / LETTER)
        name = self.series.name
        shown = name if len(name) <= most else f"{name[: most - 1]}…"
        weight = 'font-weight="600"' if self.series.is_bold else ""
        yield words((x + 32, y + 4), shown, "start", more=weight)

    @property
    def _stroke(self) -> str:
        width = 3 if self.series.is_bold else 1.6
        return f'stroke-width="{width}"' + (f" {DASHES}" if self.series.kind == "guide" else "")

    def _sign(self, place: Point, size: float) -> str:
        return symbol(self._shape, place, self._colour, size, is_hollow=self.series.is_hollow)

    def _label(self, frame: Frame, place: Point, label: str) -> str:
        x, y = place
        more = f'font-size="{_LABEL_SIZE}" {RIM}'
        if self.series.kind == "line":
            # What stands above the frame is not to be covered.
            is_below = y < frame.top + 8 + _LABEL_SIZE
            place = (x, y + 8 + _LABEL_SIZE if is_below else y - 8)
            return words(place, label, "middle", self._colour, more)
        # Points alone may stand above each other: beside them, on the side where there is room.
        has_room = x + 9 + len(label) * LETTER < frame.right
        place = (x + 9 if has_room else x - 9, y + 4)
        return words(place, label, "start" if has_room else "end", self._colour, more)


def _can_stand(value: float, is_log: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not is_log)
