"""What was found, told."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from app.runtime.policy import EnginePolicy
from app.tuning.goals import Goal
from app.tuning.recommendation import recommend
from app.tuning.records import Candidate, Curve, Findings, LeftOut
from app.tuning.report import Report
from app.tuning.tuning import Tuned
from tests.unit.tuning.curves import OV16, TF, curve

POLICY = EnginePolicy(allowed_batch_sizes=(1, 16, 64))
NOW = curve(OV16, {1: 1.0, 16: 8.0, 64: 32.0})
FASTER = curve(TF, {1: 0.5, 16: 4.0, 64: 16.0}, factors=(0.9, 1, 1, 1.1))


def report(
    *curves: Curve,
    goal: Goal | None = None,
    left_out: tuple[LeftOut, ...] = (),
    ended_by: str | None = None,
    is_busy: bool = False,
) -> Report:
    goal = goal or Goal()
    found = recommend(curves, (OV16,), POLICY, goal) if curves else None
    findings = Findings(curves, left_out, ended_by)
    tuned = Tuned("cifar10:4", "Linux, 2 cores", is_busy, goal, POLICY, findings, found)
    return Report(tuned, "X_")


def test_the_text_has_a_line_for_each_batch_size_and_the_advice() -> None:
    text = report(NOW, FASTER).as_text()

    lines = [line.split() for line in text.splitlines()]
    assert ["openvino", "bfloat16", "own", "64", "32", "32"] in [line[:6] for line in lines]
    assert ["tensorflow", "float32", "own", "16", "4", "4.4", "4,000"] in [x[:7] for x in lines]
    assert "images/s: 4,000 instead of 2,000 (2.00 x)" in text
    assert "Not all was measured" not in text


def test_settings_are_ready_to_be_pasted_and_changes_are_marked() -> None:
    found = report(NOW, FASTER)

    assert found.as_environment().splitlines() == [
        "# keraserve tune, cifar10:4 on Linux, 2 cores",
        "# changed, is auto",
        "X_ENGINE=tensorflow",
        "# changed, is auto",
        "X_PRECISION=float32",
        "# changed, is 64",
        "X_MAX_BATCH_SIZE=16",
        "# changed, is 1,16,64",
        "X_ALLOWED_BATCH_SIZES=1,16",
        "# as it is",
        "X_INFERENCE_THREADS=0",
    ]
    assert all(line in found.as_text() for line in found.as_environment().splitlines()[1:])


def test_what_is_fine_is_called_fine() -> None:
    text = report(NOW, goal=Goal("throughput")).as_text()

    assert "What is set now is fine" in text
    assert "changed" not in text
    assert "instead of" not in text


def test_what_was_left_out_and_cut_short_is_told() -> None:
    left_out = (LeftOut("tensorflow float32", "died of SIGSEGV"),)

    text = report(NOW, left_out=left_out, ended_by="the limit of 5 s").as_text()

    assert "tensorflow float32: died of SIGSEGV" in text
    assert "Not all was measured: the limit of 5 s." in text


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_machine_that_others_use_is_told(is_busy: bool) -> None:
    text = report(NOW, is_busy=is_busy).as_text()

    assert ("measure again without it" in text) is is_busy


def test_nothing_measured_is_a_report_as_well() -> None:
    found = report(left_out=(LeftOut("tensorflow float32", "died"),))

    assert found.as_text().endswith("Nothing could be measured.")
    assert "tensorflow float32: died" in found.as_text()
    assert found.as_document()["recommendation"] is None
    assert "no data" in found.as_picture()


def test_the_document_holds_everything() -> None:
    document = json.loads(json.dumps(report(NOW, FASTER).as_document()))

    assert document["servable"] == "cifar10:4"
    assert document["recommendation"]["settings"]["X_MAX_BATCH_SIZE"] == "16"
    assert document["recommendation"]["changed"][:2] == ["X_ENGINE", "X_PRECISION"]
    assert [entry["engine"] for entry in document["candidates"]] == ["openvino", "tensorflow"]
    point = document["candidates"][0]["points"][1]
    assert (point["batch_size"], point["p50_s"]) == (16, pytest.approx(0.008))


def test_the_picture_has_a_line_for_each_candidate_and_sizes_at_the_best() -> None:
    picture = ElementTree.fromstring(report(NOW, FASTER, goal=Goal("target", 0.02)).as_picture())

    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {str(OV16), str(TF), "half of the target, 10 ms", "set now"} <= set(texts)
    assert texts.count("64") == 1


def test_the_picture_keeps_what_matters_of_many_candidates() -> None:
    many = [curve(Candidate("openvino", "float32", n), {1: 1.0 + n}) for n in range(1, 20)]

    picture = report(NOW, *many, FASTER).as_picture()

    assert picture.count("<polyline") == 2  # the others have one point
    assert f">{OV16}<" in picture
    assert f">{TF}<" in picture
    assert "19 threads<" not in picture
