"""The rectangle between the axes of one panel, and where numbers stand in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from app.charts.elements import DASHES, GRID, INK, PALE, RIM, segment, words
from app.charts.panel import Mark, Point
from app.charts.ticks import Axis, tick_label

LETTER = 6.6
"""Width of a letter of 12 px, on average, px: no font can be asked. Sans-serif
ones have 5.5 to 6.5."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a panel draws.

    Attributes:
        x: The axis along it.
        y: The axis up it.
        left: Of the picture, as ``right``, ``top`` and ``bottom``, px from its upper left corner.
        right: Where the chart ends and the legend's margin begins.
        top: Below the titles.
        bottom: Above the labels of the x axis.
    """

    x: Axis
    y: Axis
    left: float
    right: float
    top: float
    bottom: float

    @property
    def middle(self) -> Point:
        """Its centre."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def place(self, point: Point) -> Point:
        """Return where a point stands, px from the upper left corner of the picture."""
        return (
            self.left + self.x.share(point[0]) * (self.right - self.left),
            self.bottom - self.y.share(point[1]) * (self.bottom - self.top),
        )

    def axes(self, x_label: str, y_label: str) -> Iterator[str]:
        """Draw grid, ticks, their labels and what is measured along them."""
        for tick in self.x.ticks:
            x, _ = self.place((tick, self.y.low))
            yield segment((x, self.top), (x, self.bottom), GRID)
            yield words((x, self.bottom + 18), tick_label(tick), "middle", PALE)
        for tick in self.y.ticks:
            _, y = self.place((self.x.low, tick))
            yield segment((self.left, y), (self.right, y), GRID)
            yield words((self.left - 8, y + 4), tick_label(tick), "end", PALE)
        yield segment((self.left, self.bottom), (self.right, self.bottom), PALE)
        yield segment((self.left, self.top), (self.left, self.bottom), PALE)
        middle_x, middle_y = self.middle
        yield words((middle_x, self.bottom + 42), x_label, "middle")
        yield (
            f'<text x="18" y="{middle_y:.1f}" text-anchor="middle" fill="{INK}" '
            f'transform="rotate(-90 18 {middle_y:.1f})">{escape(y_label)}</text>'
        )

    def mark_line(self, mark: Mark) -> Iterator[str]:
        """Draw a dashed line, where it is in sight."""
        if self._shows_x(mark):
            x, _ = self.place((mark.x or 0.0, self.y.low))
            yield segment((x, self.top), (x, self.bottom), PALE, DASHES)
        if self._shows_y(mark):
            _, y = self.place((self.x.low, mark.y or 0.0))
            yield segment((self.left, y), (self.right, y), PALE, DASHES)

    def mark_label(self, mark: Mark) -> Iterator[str]:
        """Say what a line means, where it is in sight."""
        if self._shows_x(mark):
            # Above the frame, where no curve is; moved sideways where it would leave the frame.
            x, _ = self.place((mark.x or 0.0, self.y.low))
            half = len(mark.label) * LETTER / 2
            x = max(min(x, self.right - half), self.left + half)
            yield words((x, self.top - 6), mark.label, "middle", PALE, RIM)
        if self._shows_y(mark):
            # On the left: what is measured begins low there.
            _, y = self.place((self.x.low, mark.y or 0.0))
            y += 14 if y < self.top + 16 else -5
            yield words((self.left + 6, y), mark.label, "start", PALE, RIM)

    def _shows_x(self, mark: Mark) -> bool:
        return mark.x is not None and self.x.low <= mark.x <= self.x.high

    def _shows_y(self, mark: Mark) -> bool:
        return mark.y is not None and self.y.low <= mark.y <= self.y.high
