"""From named points to an SVG picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from app.charts.curve import Curve
from app.charts.elements import INK, PAPER, words
from app.charts.frame import Frame
from app.charts.panel import Panel
from app.charts.ticks import Axis, linear_axis, log_axis

WIDTH = 860
_LEFT, _MARGIN = 78, 22
_HEAD = 40
"""Down to the end of the chart's title, px."""
_ABOVE, _BELOW = 16, 66
"""Room around a frame; the latter is for ticks and the label of the x axis, px."""
_TITLE, _LABEL = 20, 16
"""Height of a panel's title, and of the labels of upright marks, px."""
_ALONE, _ONE_OF_MANY = 358, 240
"""Heights of frames, px."""


def line_chart(
    title: str, panels: Sequence[Panel], *, x_log: bool = False, description: str = ""
) -> str:
    """Draw panels below each other, which share one x axis.

    The paper is white whatever is around it, so the picture reads on dark pages, too.

    Args:
        title: Above the chart, and its name for screen readers.
        panels: From the top; at least one.
        x_log: Whether equal factors of x have equal widths. Linear axes begin at 0.
        description: What the picture shows, for screen readers; empty: names and ranges of the
            series.

    Returns:
        One SVG document, ``WIDTH`` px wide, as high as the panels need, which refers to no other
        file.
    """
    drawings = [_Drawing(panel, x_log) for panel in panels]
    x = _axis([x for drawing in drawings for x in drawing.xs], x_log)
    legend = max(
        (curve.legend_width for drawing in drawings for curve in drawing.curves), default=0
    )
    right = WIDTH - _MARGIN - (legend + 16 if legend else 0)
    plot_height = _ALONE if len(panels) == 1 else _ONE_OF_MANY
    parts: list[str] = []
    height = _HEAD
    for drawing in drawings:
        top = height + drawing.height_above
        frame = Frame(x, drawing.y_axis, _LEFT, right, top, top + plot_height)
        parts += drawing.drawn(frame)
        height = top + plot_height + _BELOW
    text = description or ". ".join(drawing.description for drawing in drawings)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="chart-title '
            'chart-description" font-family="system-ui, sans-serif" font-size="12" '
            f'fill="{INK}">',
            f'<title id="chart-title">{escape(title)}</title>',
            f'<desc id="chart-description">{escape(text)}</desc>',
            f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>',
            words((_LEFT, 30), title, "start", more='font-size="16" font-weight="600"'),
            *parts,
            "</svg>\n",
        ]
    )


class _Drawing:
    """One panel, before it has a place."""

    def __init__(self, panel: Panel, x_log: bool) -> None:
        self._panel = panel
        is_log = (x_log, panel.y_log)
        self.curves = [Curve(index, entry, is_log) for index, entry in enumerate(panel.series)]
        self._points = [point for curve in self.curves for point in curve.points]
        shown = [mark for mark in panel.marks if mark.is_always_shown]
        self.xs = [x for x, _ in self._points] + [mark.x for mark in shown if mark.x is not None]
        ys = [y for _, y in self._points] + [mark.y for mark in shown if mark.y is not None]
        self.y_axis = _axis(ys, panel.y_log)
        self._has_upright = any(mark.x is not None for mark in panel.marks)

    @property
    def height_above(self) -> int:
        """Room for what stands above the frame, px."""
        title = _TITLE if self._panel.title else 0
        return _ABOVE + title + (_LABEL if self._has_upright else 0)

    @property
    def description(self) -> str:
        """Names and ranges of the series, for screen readers."""
        told = "; ".join(filter(None, (curve.description for curve in self.curves))) or "no data"
        return f"{self._panel.title}: {told}" if self._panel.title else told

    def drawn(self, frame: Frame) -> Iterator[str]:
        """Draw all of it, what lies below first."""
        panel = self._panel
        if panel.title:
            y = frame.top - 10 - (_LABEL if self._has_upright else 0)
            yield words((_LEFT, y), panel.title, "start", more='font-size="13" font-weight="600"')
        yield from frame.axes(panel.x_label, panel.y_label)
        for mark in panel.marks:
            yield from frame.mark_line(mark)
        for curve in self.curves:
            yield from curve.drawn(frame)
        for mark in panel.marks:
            yield from frame.mark_label(mark)
        for curve in self.curves:
            yield from curve.legend(frame, len(self.curves))
        if not self._points:
            yield words(frame.middle, "no data", "middle")


def _axis(values: Sequence[float], is_log: bool) -> Axis:
    return log_axis(values) if is_log else linear_axis(values)
