"""Line charts as SVG text, written with nothing but the standard library.

A serving installation has no plotting library, and what a command measures is told best by a
picture.

``ticks``
    Where an axis begins, ends and is labelled. Pure.
``line_chart``
    From named points to SVG.
"""

from app.charts.line_chart import Mark, Series, line_chart

__all__ = ["Mark", "Series", "line_chart"]
