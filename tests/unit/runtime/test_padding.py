import numpy as np
import pytest

from app.runtime.padding import pad_to_allowed

ALLOWED = (1, 4, 16)


@pytest.mark.parametrize(
    ("count", "padded"),
    [
        pytest.param(1, 1, id="an allowed size stays"),
        pytest.param(2, 4, id="between two sizes the next one is taken"),
        pytest.param(5, 16, id="just above a size the next one is taken"),
        pytest.param(16, 16, id="the largest stays"),
    ],
)
def test_batch_is_filled_up_to_the_next_allowed_size(count: int, padded: int) -> None:
    images = np.full((count, 2, 3, 1), 7, np.uint8)
    result = pad_to_allowed(images, ALLOWED)
    assert result.shape == (padded, 2, 3, 1)
    assert (result[:count] == 7).all()
    assert (result[count:] == 0).all()


@pytest.mark.parametrize("count", [0, 17])
def test_other_counts_are_refused_naming_the_limit(count: int) -> None:
    with pytest.raises(ValueError, match=f"batch of {count} images; allowed are 1 to 16"):
        pad_to_allowed(np.zeros((count, 2, 2, 1), np.uint8), ALLOWED)
