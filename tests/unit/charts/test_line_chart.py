"""Line charts as SVG."""

import math
import re
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from app.charts import Mark, Panel, Series, line_chart
from app.charts.elements import PALE
from app.charts.line_chart import WIDTH

SVG = "{http://www.w3.org/2000/svg}"


def parsed(*panels: Panel, x_log: bool = False) -> ElementTree.Element:
    return ElementTree.fromstring(line_chart("Title", panels, x_log=x_log))


def drawn(
    series: list[Series], *, x_log: bool = False, y_log: bool = False, marks: Sequence[Mark] = ()
) -> ElementTree.Element:
    return parsed(Panel("x", "y", series, y_log=y_log, marks=marks), x_log=x_log)


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def lines(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]
        for line in (element.attrib["points"] for element in root.iter(f"{SVG}polyline"))
    ]


def circles(root: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter(f"{SVG}circle")]


def place_of(root: ElementTree.Element, text: str) -> tuple[float, float, str]:
    """Where a text is, and which end of it."""
    (found,) = (element for element in root.iter(f"{SVG}text") if element.text == text)
    return float(found.attrib["x"]), float(found.attrib["y"]), found.attrib["text-anchor"]


def frame(root: ElementTree.Element, panel: int = 0) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of a panel, as its two axes tell."""
    axes = [line.attrib for line in root.iter(f"{SVG}line") if line.attrib["stroke"] == PALE]
    axes = [line for line in axes if "stroke-dasharray" not in line]
    along, up = axes[2 * panel : 2 * panel + 2]
    left, right, top, bottom = (
        float(line[name]) for line, name in ((along, "x1"), (along, "x2"), (up, "y1"), (up, "y2"))
    )
    return left, right, top, bottom


def numbers_inside(root: ElementTree.Element) -> bool:
    """Whether each coordinate of each element is within the picture."""
    height = float(root.attrib["height"])
    for element in root.iter():
        for name, most in (("x", WIDTH), ("cx", WIDTH), ("x1", WIDTH), ("x2", WIDTH)):
            if not 0 <= float(element.attrib.get(name, 0)) <= most:
                return False
        for name in ("y", "cy", "y1", "y2"):
            if not 0 <= float(element.attrib.get(name, 0)) <= height:
                return False
    return True


@pytest.mark.parametrize("x_log", [False, True], ids=["linear x", "logarithmic x"])
@pytest.mark.parametrize("y_log", [False, True], ids=["linear y", "logarithmic y"])
def test_every_point_is_inside_the_frame_and_in_order(x_log: bool, y_log: bool) -> None:
    points = [(1.0, 10.0), (8.0, 100.0), (64.0, 3000.0)]

    root = drawn([Series("one", points), Series("two", points[::-1])], x_log=x_log, y_log=y_log)

    for line, backwards in zip(lines(root), (False, True), strict=True):
        xs, ys = [x for x, _ in line], [y for _, y in line]
        assert xs == sorted(xs, reverse=backwards)
        assert ys == sorted(ys, reverse=not backwards)  # SVG counts downward
    assert len(lines(root)) == 2
    assert numbers_inside(root)


def test_it_says_what_it_shows() -> None:
    root = drawn([Series("a <b> & c", [(1, 2), (3, 4)], labels=["<8>", "16"])])

    assert {"Title", "x", "y", "a <b> & c", "<8>", "16"} <= set(texts(root))
    assert root.findtext(f"{SVG}title") == "Title"
    assert root.findtext(f"{SVG}desc") == "a <b> & c: from (1, 2) to (3, 4)"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param((math.nan, 1.0), id="no number"),
        pytest.param((2.0, math.inf), id="without end"),
        pytest.param((0.0, 1.0), id="0 on a logarithmic axis"),
    ],
)
def test_a_point_that_stands_nowhere_leaves_a_gap(bad: tuple[float, float]) -> None:
    points = [(1, 1), (2, 2), bad, (3, 3), (4, 4)]

    root = drawn([Series("one", points, labels=["a", "b", "bad", "c", "d"])], x_log=True)

    assert [len(line) for line in lines(root)] == [2, 2]
    assert {"a", "b", "c", "d"} <= set(texts(root))
    assert "bad" not in texts(root)


@pytest.mark.parametrize(
    "series",
    [
        pytest.param([], id="no series"),
        pytest.param([Series("one", [])], id="no point"),
        pytest.param([Series("one", [(math.nan, 1)])], id="no point that stands"),
    ],
)
def test_nothing_is_drawn_as_nothing(series: list[Series]) -> None:
    root = drawn(series)

    assert "no data" in texts(root)
    assert root.findtext(f"{SVG}desc") == "no data"


def test_marks_are_drawn_where_they_are_in_sight() -> None:
    root = drawn(
        [Series("one", [(1, 1), (100, 50)])],
        marks=[Mark("limit", x=25), Mark("bound", y=50), Mark("far", x=1000), Mark("high", y=1e9)],
    )

    assert {"limit", "bound"} <= set(texts(root))
    assert not {"far", "high"} & set(texts(root))
    assert numbers_inside(root)


def test_long_names_leave_room_for_the_chart() -> None:
    root = drawn([Series("n" * 500, [(0, 0), (1, 1)])])

    assert max(x for x, _ in lines(root)[0]) > WIDTH / 2
    assert max(map(len, texts(root))) < 60


def test_lines_of_one_colour_have_other_shapes() -> None:
    text = line_chart("t", [Panel("x", "y", [Series(str(i), [(i, i)]) for i in range(20)])])

    # Of each series one point in the chart and one in the legend.
    shapes = re.findall(r"<(circle|path|polygon) [^\n]*?(#[0-9a-f]{6})", text)
    assert len(shapes) == 40
    assert len(set(shapes)) > 7


@pytest.mark.parametrize("y_log", [False, True], ids=["linear", "logarithmic"])
def test_points_stand_where_their_values_are(y_log: bool) -> None:
    middle = 10.0 if y_log else 50.5
    low = 1.0 if y_log else 0.0
    high = 100.0 if y_log else 101.0
    root = drawn([Series("a", [(0, low), (5, middle), (10, high)])], y_log=y_log)

    left, right, top, bottom = frame(root)
    reach = 1.0 if y_log else high / 120  # of the axis, whose last tick is 100 or 120
    expected = [(left, bottom), ((left + right) / 2, 0.0), (right, 0.0)]
    for number, share in enumerate((0.0, 0.5 * reach, reach)):
        wanted = (expected[number][0], bottom - share * (bottom - top))
        assert circles(root)[number] == pytest.approx(wanted, abs=0.1)
        assert lines(root)[0][number] == pytest.approx(wanted, abs=0.1)


def test_panels_stand_below_each_other_and_share_the_x_axis() -> None:
    wide = Panel("x", "y", [Series("a", [(0, 1), (10, 1)])], title="Upper")
    narrow = Panel("x", "y", [Series("a long name", [(0, 1), (5, 1)])], title="Lower")
    root = parsed(wide, narrow)

    first, second = lines(root)
    (left, right, _, upper_bottom), (_, second_right, lower_top, _) = frame(root), frame(root, 1)
    assert right == second_right
    assert upper_bottom < place_of(root, "Lower")[1] < lower_top
    assert first[1][0] == pytest.approx(right, abs=0.1)
    assert second[1][0] == pytest.approx((left + right) / 2, abs=0.1)
    assert numbers_inside(root)
    assert root.findtext(f"{SVG}desc") == (
        "Upper: a: from (0, 1) to (10, 1). Lower: a long name: from (0, 1) to (5, 1)"
    )


def test_a_mark_that_is_always_shown_stretches_its_axis() -> None:
    marks = [
        Mark("limit", y=9000, is_always_shown=True),
        Mark("knee", x=80, is_always_shown=True),
        Mark("far", x=1000),
    ]
    root = drawn([Series("one", [(1, 1), (2, 50)])], y_log=True, marks=marks)

    assert {"limit", "knee", "10,000", "80"} <= set(texts(root))
    assert "far" not in texts(root)
    assert numbers_inside(root)


@pytest.mark.parametrize("x", [0, 50, 100], ids=["left", "middle", "right"])
def test_the_label_of_an_upright_mark_is_above_the_frame_and_within_its_sides(x: float) -> None:
    mark = Mark("a label of some length", x=x)
    root = drawn([Series("one", [(0, 1), (100, 50)])], marks=[mark])

    left, right, top, _ = frame(root)
    place, y, _ = place_of(root, mark.label)
    half = len(mark.label) * 6 / 2
    assert y < top
    assert left <= place - half
    assert place + half <= right


def test_kinds_differ_in_what_they_draw() -> None:
    root = drawn(
        [
            Series("line", [(1, 1), (2, 2)], look=0),
            Series("points", [(1, 1), (2, 2), (3, 3)], kind="points", look=0, is_hollow=True),
            Series("guide", [(1, 1), (2, 2)], kind="guide", look=0),
        ]
    )

    line, guide = root.iter(f"{SVG}polyline")
    assert "stroke-dasharray" not in line.attrib
    assert "stroke-dasharray" in guide.attrib
    dots = [dot.attrib for dot in root.iter(f"{SVG}circle")]
    hollow = [dot for dot in dots if "stroke" in dot]
    assert (len(dots), len(hollow)) == (7, 4)  # with those of the legend
    (colour,) = {dot["fill"] for dot in dots if dot not in hollow}
    assert {dot["stroke"] for dot in hollow} == {colour}
    assert {line.attrib["stroke"], guide.attrib["stroke"]} == {colour}


def test_labels_stay_inside_the_frame() -> None:
    beside = drawn(
        [Series("one", [(1, 1), (100, 50)], ["at the left", "at the right"], kind="points")]
    )
    above = drawn([Series("one", [(1, 1), (50, 50)], ["low", "high"])])

    assert place_of(beside, "at the left")[2] == "start"
    assert place_of(beside, "at the right")[2] == "end"
    _, _, top, _ = frame(above)
    (_, low), (_, high) = lines(above)[0]
    assert place_of(above, "low")[1] < low
    assert place_of(above, "high")[1] > high
    assert high == pytest.approx(top, abs=0.1)
