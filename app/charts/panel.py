"""What a chart can be asked to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Point = tuple[float, float]
"""x and y; one that is not finite, or not above 0 on a logarithmic axis, is left out, and the line
has a gap there."""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one name.

    Attributes:
        name: In the legend.
        points: In the order in which they are joined.
        labels: Beside the points, in their order; empty: none.
        kind: ``line``: points and what joins them; ``points``: nothing joins them; ``guide``: a
            dashed line without points, to compare others with.
        look: Number of its colour and shape, from 0; None: its place among the series of its
            panel. What belongs together, in one panel or in several, has one look.
        is_bold: Whether it stands out: what is recommended, for instance.
        is_hollow: Whether its points are outlines, which tells two of one look apart.
    """

    name: str
    points: Sequence[Point]
    labels: Sequence[str] = ()
    kind: Literal["line", "points", "guide"] = "line"
    look: int | None = None
    is_bold: bool = False
    is_hollow: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A dashed line across a panel, at a value of one axis.

    Attributes:
        label: Beside it.
        x: Where it stands upright; None: it lies.
        y: Where it lies; None: it stands.
        is_always_shown: Whether the axis reaches to it; otherwise one outside is left out.
    """

    label: str
    x: float | None = None
    y: float | None = None
    is_always_shown: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines with points over two axes.

    Attributes:
        x_label: Below it, with the unit.
        y_label: Beside it, with the unit.
        series: None, or none with a point: the picture says so.
        title: Above it; a panel that is alone needs none beside the chart's.
        y_log: Whether equal factors of y have equal heights. Linear axes begin at 0.
        marks: Dashed lines.
    """

    x_label: str
    y_label: str
    series: Sequence[Series]
    title: str = ""
    y_log: bool = False
    marks: Sequence[Mark] = ()
