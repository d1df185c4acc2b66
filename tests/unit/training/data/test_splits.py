from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from training.data.dataset import DataError, SourceData, Split
from training.data.splits import divide

SHARES = {"validation": 0.1, "test": 0.15}
COUNTS = (200, 50, 10, 3)
"""Images of each class: the proportions must hold for all of them."""


def make_split(counts: tuple[int, ...], first: int = 0) -> Split:
    """Images that carry their own number, in two bytes, in an order that mixes the classes."""
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(5).permutation(labels)
    numbers = np.arange(first, first + len(labels))
    images = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8)
    return Split(images.reshape(-1, 1, 2, 1), labels.astype(np.int64))


def numbers(split: Split) -> list[int]:
    pairs = split.images.reshape(-1, 2).astype(int)
    return [int(high * 256 + low) for high, low in pairs]


def make_source(
    counts: tuple[int, ...] = COUNTS,
    *,
    validation: Split | None = None,
    test: Split | None = None,
) -> SourceData:
    classes = tuple(f"class {label}" for label in range(len(counts)))
    return SourceData(classes, make_split(counts), validation, test)


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_disjoint_and_together_everything(seed: int) -> None:
    parts = divide(make_source(), SHARES, seed=seed)

    together = sorted(number for split in parts.values() for number in numbers(split))
    assert together == list(range(sum(COUNTS)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shares", [(0.1, 0.15), (0.3, 0.3), (0.49, 0.49), (0.001, 0.001)])
def test_every_class_gives_the_same_share_and_at_least_one(
    seed: int, shares: tuple[float, float]
) -> None:
    wanted = dict(zip(("validation", "test"), shares, strict=True))

    parts = divide(make_source(), wanted, seed=seed)

    for part, share in wanted.items():
        counts = np.bincount(parts[part].labels, minlength=len(COUNTS))
        for count, members in zip(counts, COUNTS, strict=True):
            assert count >= 1
            assert abs(count - share * members) <= 1
    assert np.bincount(parts["train"].labels, minlength=len(COUNTS)).min() >= 1


def test_images_keep_their_labels_and_their_order() -> None:
    source = make_source()

    parts = divide(source, SHARES, seed=1)

    for split in parts.values():
        found = numbers(split)
        assert all(before < after for before, after in pairwise(found))
        np.testing.assert_array_equal(split.labels, source.train.labels[found])


def test_same_seed_draws_the_same_and_another_one_others() -> None:
    first, again, other = (divide(make_source(), SHARES, seed=seed) for seed in (1, 1, 2))

    for part in ("train", "validation", "test"):
        assert numbers(first[part]) == numbers(again[part])
        assert numbers(first[part]) != numbers(other[part])


def test_validation_images_do_not_move_when_the_set_has_a_test_part() -> None:
    without = divide(make_source(), SHARES, seed=3)
    with_test = divide(make_source(test=make_split((4, 4, 4, 4), 1000)), SHARES, seed=3)

    assert numbers(with_test["validation"]) == numbers(without["validation"])
    assert numbers(with_test["test"]) == list(range(1000, 1016))


def test_validation_images_do_not_move_with_the_share_of_the_test_images() -> None:
    few, many = (
        divide(make_source(), {"validation": 0.1, "test": share}, seed=3) for share in (0.1, 0.4)
    )

    assert numbers(few["validation"]) == numbers(many["validation"])


def test_parts_that_the_set_has_are_left_alone() -> None:
    source = make_source(validation=make_split((1, 1), 500), test=make_split((2, 2), 600))

    parts = divide(source, SHARES, seed=0)

    assert parts == {"train": source.train, "validation": source.validation, "test": source.test}


@pytest.mark.parametrize(
    ("count", "test", "message"),
    [
        (1, True, "class 'class 1' has 1 training image, too few to take the validation images "
                  "from: at least 2 are needed"),
        (2, False, "class 'class 1' has 2 training images, too few to take the validation and "
                   "test images from: at least 3 are needed"),
    ],
    ids=["one part", "two parts"],
)  # fmt: skip
def test_class_with_too_few_images_is_refused(count: int, test: bool, message: str) -> None:
    source = make_source((9, count), test=make_split((2, 2), 600) if test else None)

    with pytest.raises(DataError, match=message):
        divide(source, SHARES, seed=0)
