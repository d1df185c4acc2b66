"""Charts as SVG."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest

from app.load.chart import BLUE, ORANGE, Mark, Panel, Series, draw, log_ticks, ticks

SVG = "{http://www.w3.org/2000/svg}"


def parsed(*panels: Panel, title: str = "title") -> ElementTree.Element:
    return ElementTree.fromstring(draw(title, panels))


def places(svg: ElementTree.Element, colour: str) -> list[tuple[float, float]]:
    """Where points are drawn; the last one is that of the legend."""
    return [
        (float(dot.attrib["cx"]), float(dot.attrib["cy"]))
        for dot in svg.iter(f"{SVG}circle")
        if dot.attrib["stroke"] == colour
    ]


def line(svg: ElementTree.Element) -> list[tuple[float, float]]:
    (found,) = svg.iter(f"{SVG}polyline")
    pairs = (pair.split(",") for pair in found.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def frame(svg: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the first panel."""
    _, box = list(svg.iter(f"{SVG}rect"))[:2]
    x, y, width, height = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1120, [0, 200, 400, 600, 800, 1000, 1200]),
        (6, [0, 1, 2, 3, 4, 5, 6]),
        (0.5, [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (0, [0, 0.2]),
    ],
)
def test_ticks_are_round_and_reach_the_last_value(most: float, expected: list[float]) -> None:
    assert ticks(most) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (1.3, 40, [1, 2, 5, 10, 20, 50]),
        (1, 10, [1, 2, 5, 10]),
        (3, 3, [2, 5]),
        (5, 5, [5, 10]),
        (0.02, 9e5, [10.0**power for power in range(-2, 7)]),
    ],
)
def test_logarithmic_ticks_enclose_the_values(
    least: float, most: float, expected: list[float]
) -> None:
    assert log_ticks(least, most) == pytest.approx(expected)


def test_points_stand_where_their_values_are() -> None:
    series = Series("a", [(0, 0), (5, 10), (10, 5)], BLUE, labels=["origin"])
    svg = parsed(Panel("t", "x", "y", [series]))
    left, top, right, bottom = frame(svg)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    expected = [(left, bottom), (middle_x, top), (right, middle_y)]
    for found in (places(svg, BLUE)[:3], line(svg)):
        for place, wanted in zip(found, expected, strict=True):
            assert place == pytest.approx(wanted, abs=0.1)
    assert [text.text for text in svg.iter(f"{SVG}text")].count("origin") == 1


def test_logarithmic_axis_gives_each_factor_the_same_height() -> None:
    series = Series("a", [(1, 1), (2, 10), (3, 100)], BLUE)
    svg = parsed(Panel("t", "x", "y", [series], is_log=True))
    _, top, _, bottom = frame(svg)
    ys = [y for _, y in places(svg, BLUE)[:3]]
    assert ys == pytest.approx([bottom, (top + bottom) / 2, top], abs=0.1)


def test_unknown_values_are_left_out_and_all_stay_inside_the_frame() -> None:
    first = Series("a", [(1, math.nan), (2, 3), (3, 4000)], BLUE)
    second = Series("b", [(7, 0.5)], ORANGE, has_line=False, is_hollow=True)
    marks = [Mark("limit", y=9000), Mark("knee", x=8)]
    svg = parsed(Panel("t", "x", "y", [first, second], marks, is_log=True))
    left, top, right, bottom = frame(svg)
    drawn = places(svg, BLUE)[:-1] + places(svg, ORANGE)[:-1]
    assert len(drawn) == 3
    for x, y in drawn:
        assert left <= x <= right
        assert top <= y <= bottom
    for mark in svg.iter(f"{SVG}line"):
        if mark.attrib.get("stroke-dasharray") == "2 3":
            assert left <= float(mark.attrib["x1"]) <= right
            assert top <= float(mark.attrib["y1"]) <= bottom


def test_words_cannot_break_the_file() -> None:
    svg = parsed(Panel("<b>", "x & y", '"', [Series("</svg>", [], BLUE)]), title="a < b")
    words = {text.text for text in svg.iter(f"{SVG}text")}
    assert {"a < b", "<b>", "x & y", '"', "</svg>"} <= words


def test_panels_share_the_x_axis() -> None:
    wide, narrow = Series("a", [(10, 1)], BLUE), Series("b", [(5, 1)], ORANGE)
    svg = parsed(Panel("t", "x", "y", [wide]), Panel("u", "x", "y", [narrow]))
    left, _, right, _ = frame(svg)
    assert places(svg, BLUE)[0][0] == pytest.approx(right)
    assert places(svg, ORANGE)[0][0] == pytest.approx((left + right) / 2)
