"""What a study says of itself."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree

import pytest

from app.load.knee import Knee
from app.load.plot import plot
from app.load.recorder import LOST, NOT_SENT
from app.load.report import document, remarks, sentence, tables
from app.load.study import Plan, Point, Study
from tests.unit.load.studies import closed, opened

OVERLOADED = opened(
    1500,
    900,
    images_per_s=1000.0,
    p99_ms=123.4,
    refused_p50_ms=1.0,
    refused_p99_ms=2.5,
    outcomes={"200": 2000, "429": 800, NOT_SENT: 200},
)


def study(*points: Point) -> Study:
    return Study(Plan(deadline_s=0.1), list(points))


WHOLE = study(closed(64, 1000), closed(1, 400), opened(1000, 980), OVERLOADED, opened(500, 500))


def test_points_are_ordered_by_load_and_give_capacity_and_knee() -> None:
    assert [point.clients for point in WHOLE.closed] == [1, 64]
    assert [point.rate_per_s for point in WHOLE.open] == [500, 1000, 1500]
    assert WHOLE.capacity_per_s == 1000
    assert WHOLE.knee == Knee(500, 1000)
    assert WHOLE.failed == {}


def test_tables_have_a_row_for_each_load() -> None:
    lines = tables(WHOLE)
    one, many = lines[3:5]
    assert one.split() == ["1", "400", "10.0", "20.0", "40.0", "0", "-", "7.50", "1.25", "0"]
    assert many.split()[:2] == ["64", "1,000"]
    assert "deadline 100 ms" in lines[6]
    cells = ["1,500", "900", "60.0 %", "10.0", "20.0", "123", "400", "2.50", "100", "7.50", "1.25"]
    assert lines[-1].split() == " ".join([*cells, "0"]).split()
    assert len({len(line) for line in lines[8:]}) == 1


def test_share_in_time_is_not_rounded_up_to_the_promise() -> None:
    assert " 98.9 % " in tables(study(opened(10_000, 9_899)))[-1]


def test_metrics_out_of_reach_are_said() -> None:
    lines = tables(study(closed(1, 400, spent=None)))
    assert lines[3].split()[-3:] == ["-", "-", "0"]
    assert "/metrics are out of reach" in lines[-1]


@pytest.mark.parametrize(
    ("found", "meaning"),
    [
        pytest.param(
            WHOLE,
            "The server classifies up to 1,000 images/s (64 clients); up to 500 requests/s (50% of "
            "that) at least 99% are answered within 100 ms, at 1,000 no more.",
            id="knee between two rates",
        ),
        pytest.param(
            study(closed(1, 400), opened(200)),
            "The server classifies up to 400 images/s (1 client); up to 200 requests/s (50% of "
            "that) at least 99% are answered within 100 ms, and no higher rate was measured.",
            id="all rates hold",
        ),
        pytest.param(
            study(opened(1000, 980)),
            "Already at 1,000 requests/s fewer than 99% are answered within 100 ms.",
            id="no rate holds, no closed loop",
        ),
        pytest.param(
            study(closed(4, 400)),
            "The server classifies up to 400 images/s (4 clients).",
            id="no open loop",
        ),
        pytest.param(study(), "Nothing was classified.", id="nothing measured"),
        pytest.param(
            study(closed(1, 0, outcomes={"429": 7})), "Nothing was classified.", id="all refused"
        ),
    ],
)
def test_one_sentence_says_what_it_means(found: Study, meaning: str) -> None:
    assert sentence(found) == meaning


def test_failures_are_losses_and_unexpected_answers_only() -> None:
    outcomes = {"200": 5, "429": 4, NOT_SENT: 3, "503": 2, "500": 1, "415": 6, LOST: 7}
    found = study(closed(1, 400, outcomes=outcomes), opened(10, outcomes={"200": 20, LOST: 1}))
    assert found.failed == {"503": 2, "500": 1, "415": 6, LOST: 8}
    (remark,) = remarks(found)
    assert "2 × 503, 1 × 500, 6 × 415, 8 × connection lost" in remark
    assert "2 × 503" in tables(found)[3]


def test_what_takes_from_the_figures_is_said() -> None:
    found = study(opened(100, late_p99_ms=10.1), opened(200, late_p99_ms=9.9))
    found.left_out.append("open loop, 300 requests/s")
    found.ended = "the server answered nothing any more"
    ended, left_out, late = remarks(found)
    assert ended == "Ended early: the server answered nothing any more."
    assert "300 s were over (--time-limit-s): open loop, 300 requests/s" in left_out
    assert "too busy" in late
    assert "100 requests/s" in late
    assert "200 requests/s" not in late
    assert remarks(WHOLE) == []


def test_document_is_json_without_what_json_has_not() -> None:
    text = json.dumps(document(WHOLE, {"model": "cifar10"}), allow_nan=False)
    found = json.loads(text)
    assert found["model"] == "cifar10"
    assert found["capacity_images_per_s"] == 1000
    assert found["knee"] == {
        "requests_per_s": 500,
        "failing_requests_per_s": 1000,
        "share": 0.99,
    }
    assert [point["clients"] for point in found["closed_loop"]] == [1, 64]
    last = found["open_loop"][-1]
    assert last["requests_per_s"] == 1500
    assert last["share_in_time"] == 0.6
    assert last["outcomes"] == OVERLOADED.result.outcomes
    assert last["server"]["batch_size"] == 7.5
    assert found["open_loop"][0]["refused_p99_ms"] is None
    assert found["plan"]["deadline_s"] == 0.1


def test_picture_has_every_point_and_names_the_knee() -> None:
    svg = ElementTree.fromstring(plot(WHOLE, "cifar10:1"))
    words = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("knee: 500/s") == 2
    assert {"cifar10:1", "deadline: 100 ms", "1 client", "64 clients", "refused"} <= set(words)
    circles, polygons = (
        len(list(svg.iter(f"{{http://www.w3.org/2000/svg}}{name}")))
        for name in ("circle", "polygon")
    )
    # Open loops are circles: in the upper panel 3 rates of 2 kinds, in the lower one the same, and
    # in each legend 2. Squares: refusals of 3 rates and, in time, of 1; triangles: 2 closed loops
    # of 2 kinds; and in the legends 1, 1 and 2.
    assert circles == 6 + 6 + 4
    assert polygons == 3 + 1 + 4 + 4


def test_without_open_loops_there_are_only_times() -> None:
    svg = ElementTree.fromstring(plot(study(closed(1, 400)), "cifar10:1"))
    words = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"How fast", "1 client", "deadline: 100 ms"} <= words
    assert "What is answered" not in words


def test_picture_of_nothing_is_a_picture() -> None:
    unknown = closed(1, 0, p50_ms=math.nan, p99_ms=math.nan, outcomes={})
    for found in (study(), study(unknown), study(opened(5))):
        ElementTree.fromstring(plot(found, "nothing"))
