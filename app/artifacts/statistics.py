"""What a network was made from, in figures that the service can compare its uploads with.

``drift`` measures the same of what is uploaded, and how far it is from these.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from app.artifacts.record import Record

Share = Annotated[float, Field(ge=0, le=1)]
GreyLevel = Annotated[float, Field(ge=0, le=255)]

BINS = 10
"""Tenths, as is usual for the population stability index."""

CLASSES, CONFIDENCE = "classes", "confidence"
"""Signals that drift is measured by; the others are the channels."""

CHANNEL_NAMES = {1: ("grey",), 3: ("red", "green", "blue")}
"""By the number of channels; also the signals of their brightness."""

MIN_IMAGES = 200
"""Fewest images, on either side, that an index is computed from. By chance alone, the index of ten
bins is above 0.1 in one of 1,100 windows of 200 images where the reference is of 45,000, in one of
350 where it is of 1,000, and in one of 47 where it is of 200; above 0.25 in one of 30,000 even then
(simulated, bins of a tenth each). A reference of 200 is what small data sets have: to ask for
more would leave them without an index of confidence."""

_PER_BIN = 5
"""Images for each bin that the chi-square distribution takes to fit (Cochran's rule)."""

_SUM_TOLERANCE = 1e-6


def images_needed(bins: int) -> int:
    """Return how many images window and reference must have, each, for an index over ``bins``."""
    return max(MIN_IMAGES, _PER_BIN * bins)


class Signal(NamedTuple):
    """What one index compares a window with.

    Attributes:
        name: ``classes``, ``confidence`` or a channel.
        images: How many are behind it.
        shares: ``(B,)`` of them, in each bin.
    """

    name: str
    images: int
    shares: tuple[float, ...]

    @property
    def is_too_small(self) -> bool:
        """Whether no window is long enough for an index."""
        return self.images < images_needed(len(self.shares))

    @property
    def shortage(self) -> str:
        """How many images there are, and how many there would have to be."""
        return f"{self.name} ({self.images:,} of {images_needed(len(self.shares)):,} images)"


class Distribution(Record):
    """How often a value falls between which bounds.

    Bin ``i`` reaches from ``edges[i - 1]``, included, to ``edges[i]``, not included; the first and
    the last are open. There are ten bins, or fewer where values are so alike that tenths coincide;
    that is why the shares are not left to be a tenth each, but counted and kept.
    """

    edges: tuple[float, ...] = Field(min_length=1, max_length=BINS - 1)
    shares: tuple[Share, ...]

    @model_validator(mode="after")
    def _check(self) -> Distribution:
        if any(not lower < upper for lower, upper in pairwise(self.edges)):
            raise ValueError("edges do not rise")
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError(
                f"{len(self.edges)} edges have {len(self.shares)} shares between them, "
                f"must be {len(self.edges) + 1}"
            )
        require_whole(self.shares, "shares")
        return self


class HeldOutStatistics(Record):
    """How sure the network is of images that it has not learnt from, calibrated as when serving."""

    images: int = Field(ge=1)
    mean_confidence: Share
    confidence: Distribution


class ReferenceStatistics(Record):
    """Class mix, confidence, brightness and contrast of the images that a network learnt from.

    Pixels are those that the network gets, 0..255, without augmentation, at the points that
    ``artifacts.pixels`` takes; K classes, C channels.
    """

    source: Literal["training", "samples"] = Field(
        default="training",
        description="samples: of an imported version, whose training images nobody has.",
    )
    images: int = Field(ge=1, description="Behind all but mean_confidence and held_out.")
    class_shares: tuple[Share, ...] | None = Field(
        default=None,
        description="(K,), sum to 1: of the images' classes. None where nobody knows: of the "
        "samples of an imported version, once as many of each class were chosen.",
    )
    mean_confidence: Share = Field(
        description="Mean of the highest probability, calibrated, over up to 10,000 of the images."
    )
    held_out: HeldOutStatistics = Field(
        description="The same for images kept aside. A network is surer of those it has learnt "
        "from than it will ever be again, so what is served is compared with these."
    )
    channel_means: tuple[GreyLevel, ...] = Field(description="(C,), over all pixels.")
    channel_spreads: tuple[GreyLevel, ...] = Field(
        description="(C,), standard deviation over all pixels of all images."
    )
    image_means: tuple[Distribution, ...] = Field(
        description="(C,), of the images' own means of a channel: how bright images are."
    )

    @model_validator(mode="after")
    def _check(self) -> ReferenceStatistics:
        if self.class_shares is not None:
            require_whole(self.class_shares, "class_shares")
        return self

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What there is a reference for."""
        found = (
            [] if self.class_shares is None else [Signal(CLASSES, self.images, self.class_shares)]
        )
        held_out = self.held_out
        found.append(Signal(CONFIDENCE, held_out.images, held_out.confidence.shares))
        names = CHANNEL_NAMES[len(self.image_means)]
        for name, brightness in zip(names, self.image_means, strict=True):
            found.append(Signal(name, self.images, brightness.shares))
        return tuple(found)

    def require_fit(self, classes: int, channels: int) -> None:
        """Refuse figures that are of another network.

        Raises:
            ValueError: They have other numbers of classes or channels.
        """
        lengths = dict.fromkeys(("channel_means", "channel_spreads", "image_means"), channels)
        if self.class_shares is not None:
            lengths["class_shares"] = classes
        for name, expected in lengths.items():
            if (length := len(getattr(self, name))) != expected:
                raise ValueError(f"statistics: {name} has {length} values, must have {expected}")


def require_whole(shares: tuple[float, ...], name: str) -> None:
    """Refuse shares that do not sum to 1.

    Raises:
        ValueError: Says to what they sum.
    """
    if not abs(sum(shares) - 1) <= _SUM_TOLERANCE:
        raise ValueError(f"{name} sum to {sum(shares):.6g}, must sum to 1")
