"""The pictures that the benchmark sends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.pictures import COUNT, picture, write_pictures


def test_pictures_are_different_and_the_same_every_time() -> None:
    pictures = [picture(seed) for seed in range(16)]
    assert all(np.array_equal(image, picture(seed)) for seed, image in enumerate(pictures))
    assert len({image.tobytes() for image in pictures}) == len(pictures)


def test_files_are_as_large_as_photographs_of_their_size(tmp_path: Path) -> None:
    mean_bytes = write_pictures(tmp_path)
    assert 1500 < mean_bytes < 2500
    files = sorted(tmp_path.iterdir())
    assert len(files) == COUNT
    with Image.open(files[0]) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))
