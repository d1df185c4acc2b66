"""Line charts as SVG text, written with nothing but the standard library.

A serving installation has no plotting library, and what a command measures is told best by a
picture.

``panel``
    What can be asked for: series, marks, and panels of them.
``ticks``
    Where an axis begins, ends and is labelled. Pure.
``elements``
    The few SVG elements of which all is made, and the colours.
``frame``
    The rectangle between the axes of one panel.
``curve``
    One series in a frame.
``line_chart``
    From named points to SVG: panels of one width below each other.
"""

from app.charts.line_chart import line_chart
from app.charts.panel import Mark, Panel, Series

__all__ = ["Mark", "Panel", "Series", "line_chart"]
