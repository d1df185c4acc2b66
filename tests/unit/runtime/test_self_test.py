import numpy as np
import pytest

from app.artifacts.manifest import SelfTestTolerance
from app.artifacts.samples import Samples
from app.errors import ArtifactError
from app.runtime.self_test import run_self_test
from app.types import Execute, ImageArray, ScoreArray

TOLERANCE = SelfTestTolerance(min_top1_agreement=0.75, max_deviation=0.1)
RECORDED = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]], np.float32)
IMAGES = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)


def table(answers: ScoreArray) -> Execute:
    """Return what looks its answers up by the first pixel."""

    def execute(images: ImageArray) -> ScoreArray:
        assert len(images) <= 3, "batches are cut at the largest size"
        return answers[images[:, 0, 0, 0]]

    return execute


def test_equal_answers_pass_in_batches_no_larger_than_allowed() -> None:
    result = run_self_test(table(RECORDED), Samples(IMAGES, RECORDED, None), TOLERANCE, 3)
    assert (result.top1_agreement, result.max_deviation) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        pytest.param(
            RECORDED + np.array([[0.2, -0.2]], np.float32),
            "largest deviation 0.2",
            id="deviates too far",
        ),
        pytest.param(RECORDED[:, ::-1], "0.00% of 4 samples", id="other labels"),
        pytest.param(np.zeros((4, 3), np.float32), r"the shape \(4, 3\)", id="other shape"),
        pytest.param(RECORDED * np.nan, "NaN or infinity", id="not finite"),
    ],
)
def test_answers_outside_the_tolerance_are_refused_with_the_figures(
    answers: ScoreArray, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        run_self_test(table(answers), Samples(IMAGES, RECORDED, None), TOLERANCE, 3)
