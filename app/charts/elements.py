"""The few SVG elements of which charts are made, and their colours."""

from __future__ import annotations

from xml.sax.saxutils import escape

from app.charts.panel import Point

INK, PALE, GRID, PAPER = "#222222", "#555555", "#dddddd", "#ffffff"
RIM = f'stroke="{PAPER}" stroke-width="2.5" paint-order="stroke"'
"""Keeps text legible over lines."""

DASHES = 'stroke-dasharray="5 4"'

# Okabe and Ito's colours, which people who see few colours tell apart, darkened where they are too
# light for thin lines on white. Shapes of points say the same once more.
COLOURS = ("#0072b2", "#d55e00", "#008a64", "#a8497f", "#b07a00", "#8a8a8a", "#333333")
SHAPES = ("circle", "square", "triangle", "diamond", "cross")

_CORNERS = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
    "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
}


def segment(start: Point, end: Point, colour: str, more: str = "") -> str:
    """Return a straight line; ``more``: further attributes."""
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{colour}"{" " if more else ""}{more}/>'
    )


def words(place: Point, text: str, anchor: str, colour: str = INK, more: str = "") -> str:
    """Return a line of text; ``anchor``: its start, middle or end is at the place."""
    return (
        f'<text x="{place[0]:.1f}" y="{place[1]:.1f}" text-anchor="{anchor}" '
        f'fill="{colour}"{" " if more else ""}{more}>{escape(text)}</text>'
    )


def symbol(shape: str, place: Point, colour: str, size: float, *, is_hollow: bool = False) -> str:
    """Return the sign of a point.

    Args:
        shape: One of ``SHAPES``.
        place: Its centre.
        colour: Of all of it, or of its outline.
        size: Half of its width, px.
        is_hollow: Whether it is an outline; a cross always is.
    """
    x, y = place
    if shape == "cross":
        return (
            f'<path d="M{x - size:.1f} {y - size:.1f}L{x + size:.1f} {y + size:.1f}'
            f'M{x - size:.1f} {y + size:.1f}L{x + size:.1f} {y - size:.1f}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
    fill = f'fill="{colour}"'
    if is_hollow:
        fill = f'fill="{PAPER}" stroke="{colour}" stroke-width="1.5"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" {fill}/>'
    joined = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in _CORNERS[shape])
    return f'<polygon points="{joined}" {fill}/>'
