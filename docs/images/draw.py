"""Draws the pictures of the README: a ship, and a sneaker as Fashion-MNIST shows them.

    python docs/images/draw.py

Drawn, and not taken from a data set, so that they may be copied with the project.
"""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIDE = 256
"""Of the pictures, px: small in a README, and eight times what the network sees."""

OVERSAMPLING = 4
"""Pillow draws without smoothing edges; drawn larger and reduced, they are smooth."""

Point = tuple[float, float]
Color = tuple[int, int, int]

HERE = Path(__file__).parent


def main() -> None:
    """Write ``ship.png`` and ``sneaker.png`` beside this file."""
    draw_ship().save(HERE / "ship.png", optimize=True)
    draw_sneaker().save(HERE / "sneaker.png", optimize=True)


class Canvas:
    """Draws in picture coordinates, 0..256 from the top left, whatever the oversampling."""

    def __init__(self, mode: str, background: int | Color) -> None:
        """Start from one colour."""
        size = SIDE * OVERSAMPLING
        self.image = Image.new(mode, (size, size), background)
        self._draw = ImageDraw.Draw(self.image)

    def polygon(self, points: list[Point], color: int | Color) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points], fill=color)

    def box(self, left: float, top: float, right: float, bottom: float, color: int | Color) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], color)

    def disc(self, x: float, y: float, radius: float, color: int | Color) -> None:
        """Fill a circle."""
        around = [(x - radius, y - radius), (x + radius, y + radius)]
        self._draw.ellipse([(a * OVERSAMPLING, b * OVERSAMPLING) for a, b in around], fill=color)

    def line(self, points: list[Point], width: float, color: int | Color) -> None:
        """Draw a line through points."""
        scaled = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
        self._draw.line(scaled, fill=color, width=round(width * OVERSAMPLING), joint="curve")

    def finish(self, blur_px: float = 0.0) -> Image.Image:
        """Return the picture at its size."""
        picture = self.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        return picture.filter(ImageFilter.GaussianBlur(blur_px)) if blur_px else picture


def blend(start: Color, end: Color, share: float) -> Color:
    """Return the colour ``share`` (0..1) of the way from ``start`` to ``end``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    return red, green, blue


def draw_ship() -> Image.Image:
    """A cargo ship on a calm sea, from the side, under a clear sky."""
    canvas = Canvas("RGB", (255, 255, 255))
    horizon = 150
    for y in range(SIDE):
        sky = blend((96, 150, 205), (206, 226, 240), min(y / horizon, 1))
        sea = blend((70, 118, 150), (24, 62, 96), max(y - horizon, 0) / (SIDE - horizon))
        canvas.box(0, y, SIDE, y + 1, sky if y < horizon else sea)
    _superstructure(canvas)
    _hull(canvas)
    for row, y in enumerate(range(horizon + 34, SIDE, 9)):  # waves, in front of the hull
        points = [(x, y + 2 * math.sin(x / 13 + 1.9 * row)) for x in range(0, SIDE + 1, 4)]
        canvas.line(points, 1.6, blend((88, 138, 170), (40, 84, 120), row / 8))
    return canvas.finish(blur_px=0.6)


def _superstructure(canvas: Canvas) -> None:
    white, shade, glass = (240, 240, 236), (206, 210, 212), (44, 66, 92)
    canvas.line([(206, 96), (206, 52)], 3, (90, 90, 94))  # fore mast
    canvas.line([(206, 60), (182, 112)], 1.5, (90, 90, 94))
    canvas.box(40, 92, 104, 130, white)
    canvas.box(46, 70, 98, 92, shade)
    canvas.box(52, 52, 92, 70, white)
    for y, left, right in ((57, 56, 90), (76, 50, 96), (99, 46, 102), (114, 46, 102)):
        for x in range(left, right - 5, 9):
            canvas.box(x, y, x + 5, y + 6, glass)
    canvas.polygon([(60, 52), (63, 22), (82, 22), (84, 52)], (198, 56, 44))  # funnel
    canvas.polygon([(62, 32), (63, 22), (82, 22), (82.6, 32)], (34, 34, 40))
    for x, color in zip(
        range(112, 190, 20),
        ((186, 92, 52), (62, 106, 142), (196, 160, 78), (122, 138, 96)),
        strict=True,
    ):
        canvas.box(x, 104, x + 18, 130, color)  # containers


def _hull(canvas: Canvas) -> None:
    canvas.polygon(
        [(16, 124), (190, 124), (212, 112), (246, 110), (226, 188), (34, 188)], (36, 46, 66)
    )
    canvas.line([(17, 127), (190, 127), (213, 115), (245, 113)], 3, (236, 236, 232))
    canvas.polygon([(29.5, 172), (230.3, 172), (226, 188), (34, 188)], (160, 44, 38))
    canvas.line([(26, 188), (232, 188)], 3, (196, 214, 224))  # foam at the waterline


def draw_sneaker() -> Image.Image:
    """A low shoe pointing left, light grey on black."""
    canvas = Canvas("L", 0)
    upper = [
        (10, 140), (14, 129), (30, 123), (60, 116), (92, 102), (120, 86), (134, 81), (146, 91),
        (166, 100), (190, 102), (212, 99), (232, 91), (242, 94), (246, 108), (248, 140),
    ]  # fmt: skip
    canvas.polygon(upper, 176)
    canvas.polygon([(10, 140), (14, 129), (30, 123), (56, 117), (66, 140)], 206)  # toe cap
    canvas.polygon([(214, 99), (232, 91), (242, 94), (246, 108), (248, 140), (222, 140)], 214)
    for step in range(5):
        x, y = 76 + 13 * step, 112 - 6.8 * step
        canvas.line([(x, y), (x + 15, y + 12)], 4, 240)  # laces
    canvas.polygon([(112, 137), (150, 109), (206, 104), (160, 118), (128, 139)], 120)  # stripe
    canvas.polygon([(6, 139), (250, 139), (248, 155), (236, 158), (20, 158), (8, 153)], 236)
    canvas.line([(8, 147), (249, 147)], 3, 150)
    return canvas.finish(blur_px=0.6)


if __name__ == "__main__":
    main()
