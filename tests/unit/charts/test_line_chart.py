"""Line charts as SVG."""

import math
import re
from xml.etree import ElementTree

import pytest

from app.charts import Mark, Series, line_chart
from app.charts.line_chart import HEIGHT, WIDTH

SVG = "{http://www.w3.org/2000/svg}"


def drawn(series: list[Series], **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(line_chart("Title", "x", "y", series, **options))  # type: ignore[arg-type]


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def lines(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]
        for line in (element.attrib["points"] for element in root.iter(f"{SVG}polyline"))
    ]


def numbers_inside(root: ElementTree.Element) -> bool:
    """Whether each coordinate of each element is within the picture."""
    for element in root.iter():
        for name, most in (("x", WIDTH), ("cx", WIDTH), ("x1", WIDTH), ("x2", WIDTH)):
            if not 0 <= float(element.attrib.get(name, 0)) <= most:
                return False
        for name in ("y", "cy", "y1", "y2"):
            if not 0 <= float(element.attrib.get(name, 0)) <= HEIGHT:
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
    text = line_chart("t", "x", "y", [Series(str(i), [(i, i)]) for i in range(20)])

    # Of each series one point in the chart and one in the legend.
    shapes = re.findall(r"<(circle|path|polygon) [^\n]*?(#[0-9a-f]{6})", text)
    assert len(shapes) == 40
    assert len(set(shapes)) > 7
