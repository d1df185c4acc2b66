"""What the streams of any engine must bear: each executes while the others do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from app.runtime.streams import STREAMS, StreamGroup
from app.types import ImageArray


def expect_members_side_by_side(group: StreamGroup, images: Callable[[int], ImageArray]) -> None:
    """Have all members execute batches of many sizes at once; each gets its own answers."""
    counts = [1, 20, 3, 32, 16, 2] * 5
    expected = {count: group.execute(images(count)) for count in set(counts)}
    with ThreadPoolExecutor(STREAMS) as threads:
        found = threads.map(
            lambda member: [member.execute(images(count)) for count in counts], group.members
        )
        for answers in found:
            for count, answer in zip(counts, answers, strict=True):
                np.testing.assert_allclose(answer, expected[count], atol=1e-6)
    group.close()
