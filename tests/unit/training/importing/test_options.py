"""What an import may be told."""

from __future__ import annotations

import pytest

from app.errors import ArtifactError
from app.types import InputSpec
from training.importing.options import ImportOptions, input_spec


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((32, 48, 3), ImportOptions(resize="pad"), InputSpec(32, 48, 3, "pad")),
        ((28, 28), ImportOptions(), InputSpec(28, 28, 1)),
        ((None, None, 3), ImportOptions(input_size=(64, 96)), InputSpec(64, 96, 3)),
        ((32, None, 1), ImportOptions(input_size=(32, 40)), InputSpec(32, 40, 1)),
        ((32, 32, 3), ImportOptions(input_size=(32, 32)), InputSpec(32, 32, 3)),
    ],
    ids=["fixed", "grey without an axis", "open", "half open", "given all the same"],
)
def test_input_is_read_off_the_network(
    shape: tuple[int | None, ...], options: ImportOptions, expected: InputSpec
) -> None:
    assert input_spec(shape, options) == expected


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((784,), ImportOptions(), r"takes \(784\), which is no image"),
        ((3, 32, 32), ImportOptions(), "last axis must have 1 or 3 channels; channels in front"),
        ((32, 32, 4), ImportOptions(), "last axis must have 1 or 3 channels$"),
        ((32, 32, None), ImportOptions(), r"\(32, 32, any\), its last axis"),
        ((None, None, 3), ImportOptions(), "name the one it was trained with by --input-size"),
        ((32, 32, 3), ImportOptions(input_size=(32, 48)), "--input-size is 32x48, .* 32x32 only"),
    ],
    ids=["flat", "channels first", "four channels", "open channels", "open size", "other size"],
)
def test_other_input_is_refused(
    shape: tuple[int | None, ...], options: ImportOptions, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        input_spec(shape, options)


def test_one_value_counts_for_all_channels() -> None:
    options = ImportOptions(mean=(0.5,), std=(0.1, 0.2, 0.3))

    assert options.mean_of(3) == [0.5, 0.5, 0.5]
    assert options.std_of(3) == [0.1, 0.2, 0.3]
    assert ImportOptions().std_of(1) == [1.0]
    with pytest.raises(ArtifactError, match=r"--std has 3 values, the network takes .* 1 channel$"):
        options.std_of(1)
