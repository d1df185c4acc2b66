"""What a network was made from, in figures that the service can compare its uploads with.

``drift`` measures the same of what is uploaded, and how far it is from these.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.artifacts.record import Record

Share = Annotated[float, Field(ge=0, le=1)]
GreyLevel = Annotated[float, Field(ge=0, le=255)]

BINS = 10
"""Tenths, as is usual for the population stability index."""

_SUM_TOLERANCE = 1e-6


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
    class_shares: tuple[Share, ...] = Field(description="(K,), sum to 1: of the images' classes.")
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
        require_whole(self.class_shares, "class_shares")
        return self

    def require_fit(self, classes: int, channels: int) -> None:
        """Refuse figures that are of another network.

        Raises:
            ValueError: They have other numbers of classes or channels.
        """
        lengths = {"class_shares": classes} | dict.fromkeys(
            ("channel_means", "channel_spreads", "image_means"), channels
        )
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
