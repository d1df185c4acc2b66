"""``samples.npz``: images with the probabilities that training computed for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.artifacts.array_file import read_arrays
from app.errors import ArtifactError
from app.types import ImageArray, ScoreArray

MAX_SAMPLES = 10_000
"""The public test sets of small images have 10,000; a self-test runs 1,000 at most."""

SUM_TOLERANCE = 1e-3
"""Float32 softmax rows stay within 1e-6; the rest is room for probabilities stored from float16."""

_REQUIRED = ("images", "probabilities")
_OPTIONAL = ("labels",)
_DTYPES = {"images": np.uint8, "probabilities": np.float32, "labels": np.int64}


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Images whose right answers are known. One that exists is valid: building checks it.

    Attributes:
        images: ``(N, H, W, C)`` uint8, 0..255, C is 1 or 3.
        probabilities: ``(N, K)`` float32, rows sum to 1: what training computed for the images.
        labels: ``(N,)`` int64, 0..K-1: the classes that the data set gives, or None where the
            pictures were generated.
    """

    images: ImageArray
    probabilities: ScoreArray
    labels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that contradict the description above.

        Raises:
            ArtifactError: Says which array, and what is wrong with it.
        """
        _check_dtypes(self)
        _check_shapes(self)
        _check_values(self)

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)


def write_samples(path: Path, samples: Samples) -> None:
    """Write ``samples`` to ``path``; equal samples give equal bytes."""
    arrays: dict[str, Any] = {
        "images": samples.images,
        "probabilities": samples.probabilities,
    }
    if samples.labels is not None:
        arrays["labels"] = samples.labels
    with path.open("wb") as file:  # given a path, numpy would append .npz to other names
        np.savez_compressed(file, **arrays)


def read_samples(path: Path) -> Samples:
    """Read and validate a samples file. Nothing is unpickled, and sizes are checked unread.

    Raises:
        ArtifactError: The file is missing or damaged, or its arrays are not what they must be.
    """
    arrays: dict[str, Any] = read_arrays(path, required=_REQUIRED, optional=_OPTIONAL)
    try:
        return Samples(**arrays)
    except ArtifactError as error:
        raise ArtifactError(f"{path.name}: {error}") from error


def _check_dtypes(samples: Samples) -> None:
    for name, dtype in _DTYPES.items():
        array = getattr(samples, name)
        if array is not None and array.dtype != dtype:
            raise ArtifactError(f"{name} are {array.dtype}, must be {np.dtype(dtype)}")


def check_images(images: ImageArray) -> None:
    """Refuse what is no array of images.

    Raises:
        ArtifactError: Another shape than ``(N, H, W, 1 or 3)``, none at all, or too many.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise ArtifactError(f"images have shape {images.shape}, must be (N, H, W, 1 or 3)")
    if len(images) > MAX_SAMPLES:
        raise ArtifactError(f"{len(images)} images, the limit is {MAX_SAMPLES}")


def _check_shapes(samples: Samples) -> None:
    images, probabilities, labels = samples.images, samples.probabilities, samples.labels
    check_images(images)
    count = len(images)
    if probabilities.ndim != 2 or len(probabilities) != count or probabilities.shape[1] < 2:
        raise ArtifactError(
            f"probabilities have shape {probabilities.shape}, must be ({count}, K) with K >= 2"
        )
    if labels is not None and labels.shape != (count,):
        raise ArtifactError(f"labels have shape {labels.shape}, must be ({count},)")


def _check_values(samples: Samples) -> None:
    probabilities, labels = samples.probabilities, samples.labels
    if not np.all((probabilities >= 0) & (probabilities <= 1 + SUM_TOLERANCE)):  # NaN fails too
        raise ArtifactError("probabilities are outside 0..1")
    furthest = float(np.max(np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1)))
    if furthest > SUM_TOLERANCE:
        raise ArtifactError(f"a row of probabilities sums to 1 ± {furthest:.3g}, must be 1")
    classes = probabilities.shape[1]
    if labels is not None and not np.all((labels >= 0) & (labels < classes)):
        raise ArtifactError(
            f"labels reach {labels.min()}..{labels.max()}, must be 0..{classes - 1}"
        )
