"""What was measured, summed up."""

from __future__ import annotations

import pytest

from app.tuning.records import SCOUTING, Candidate, Curve
from tests.unit.tuning.curves import OV16


@pytest.mark.parametrize(
    ("threads", "name"),
    [
        (0, "openvino bfloat16"),
        (1, "openvino bfloat16, 1 thread"),
        (4, "openvino bfloat16, 4 threads"),
    ],
)
def test_a_candidate_reads_as_people_call_it(threads: int, name: str) -> None:
    assert str(Candidate("openvino", "bfloat16", threads)) == name


def test_a_point_has_medians_and_the_range_of_the_rounds() -> None:
    curve = Curve(OV16)
    curve.add(1, 8, [0.1, 0.1, 0.2])
    curve.add(2, 8, [0.1, 0.1])
    curve.add(3, 8, [0.4])

    (point,) = curve.points

    assert (point.batch_size, point.executions) == (8, 6)
    assert point.p50_s == pytest.approx(0.1)
    assert point.p99_s == pytest.approx(0.4)
    assert point.longest_wait_s == pytest.approx(0.5)
    assert point.images_per_s == pytest.approx(60)
    assert (point.least_images_per_s, point.most_images_per_s) == pytest.approx((20, 80))


def test_scouting_counts_only_where_there_is_nothing_else() -> None:
    curve = Curve(OV16)
    curve.add(SCOUTING, 1, [9.0])
    assert (curve.points[0].p50_s, curve.rounds) == (9.0, 0)

    curve.add(1, 1, [1.0])
    assert (curve.points[0].p50_s, curve.rounds) == (1.0, 1)
    assert curve.p50_s(1) == {1: 1.0}
    assert curve.images_per_s(1) == {1: 1.0}


def test_a_round_counts_once_every_batch_size_had_its_turn() -> None:
    curve = Curve(OV16)
    assert curve.rounds == 0
    curve.add(1, 1, [1.0])
    curve.add(1, 2, [1.0])
    curve.add(2, 1, [1.0])

    assert curve.rounds == 1


def test_p99_is_the_one_that_99_of_100_do_not_exceed() -> None:
    curve = Curve(OV16)
    curve.add(1, 1, [float(number) for number in range(1, 201)])

    assert curve.points[0].p99_s == 198
