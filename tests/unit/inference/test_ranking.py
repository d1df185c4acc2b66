import numpy as np

from app.inference.ranking import rank, rank_all

CLASSES = ("bird", "cat", "dog", "ship")


def test_labels_come_highest_score_first() -> None:
    scores = np.array([0.1, 0.2, 0.65, 0.05], np.float32)
    assert [(p.label, p.class_id) for p in rank(scores, CLASSES, 3)] == [
        ("dog", 2), ("cat", 1), ("bird", 0),
    ]  # fmt: skip


def test_all_labels_carry_all_of_the_probability() -> None:
    scores = np.array([0.1, 0.2, 0.65, 0.05], np.float32)
    assert abs(sum(p.score for p in rank(scores, CLASSES, 4)) - 1) < 1e-6


def test_equal_scores_keep_the_order_of_the_classes() -> None:
    scores = np.full(4, 0.25, np.float32)
    assert [p.label for p in rank(scores, CLASSES, 2)] == ["bird", "cat"]


def test_a_batch_is_ranked_as_each_of_its_images() -> None:
    scores = np.random.default_rng(1).random((7, 4)).astype(np.float32)
    scores[3] = 0.25
    for top_k in (1, 2, 4):
        assert rank_all(scores, CLASSES, top_k) == [rank(row, CLASSES, top_k) for row in scores]
