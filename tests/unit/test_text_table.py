"""Text in columns."""

import pytest

from app.text_table import text_table


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        pytest.param(
            (0,), ["name    files", "a           3", "longer     12"], id="words and figures"
        ),
        pytest.param((), ["  name  files", "     a      3", "longer     12"], id="figures"),
        pytest.param(
            (0, 1), ["name    files", "a       3", "longer  12"], id="no blanks at the end"
        ),
    ],
)
def test_cells_stand_below_each_other(left: tuple[int, ...], expected: list[str]) -> None:
    assert text_table([("name", "files"), ("a", "3"), ("longer", "12")], left=left) == expected


def test_a_row_with_a_cell_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        text_table([("a", "b"), ("c",)], left=())
