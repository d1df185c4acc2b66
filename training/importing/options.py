"""What an import is told beside the file, checked before any file is opened."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from app.errors import ArtifactError
from app.types import InputSpec, Interpolation, ResizeMode

GREY, RGB = 1, 3


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How pixels become what the network was trained with, and its answers probabilities.

    A pixel of 0..255 reaches the network as ``(pixel * scale + offset - mean) / std``.

    Attributes:
        scale: Factor on the pixels.
        offset: Added after it.
        mean: Subtracted after that: one value, one for each channel, or none.
        std: Divides the rest: one value, one for each channel, or none.
        resize: How uploads of other sizes are fitted.
        interpolation: Filter of that.
        logits: The network ends without a softmax.
        input_size: Height and width, px, where the network leaves them open.
    """

    scale: float = 1.0
    offset: float = 0.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: ResizeMode = "stretch"
    interpolation: Interpolation = "bilinear"
    logits: bool = False
    input_size: tuple[int, int] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the pixels reach the network as they are."""
        return not self.has_statistics and (self.scale, self.offset) == (1.0, 0.0)

    @property
    def has_statistics(self) -> bool:
        """Whether there is a mean or a standard deviation."""
        return bool(self.mean or self.std)

    def mean_of(self, channels: int) -> list[float]:
        """Return the mean of each channel; zeros where none was given."""
        return _spread("--mean", self.mean or (0.0,), channels)

    def std_of(self, channels: int) -> list[float]:
        """Return the standard deviation of each channel; ones where none was given."""
        return _spread("--std", self.std or (1.0,), channels)

    def record(self) -> dict[str, Any]:
        """Return the options as the manifest keeps them."""
        return asdict(self)


def input_spec(shape: tuple[int | None, ...], options: ImportOptions) -> InputSpec:
    """Decide what uploads are brought to.

    Args:
        shape: Of the network's input without the batch: ``(H, W, C)`` or, if grey, ``(H, W)``;
            None where it is open.
        options: Resize mode, and the size where it is open.

    Raises:
        ArtifactError: It is no image, or its size is open or contradicts --input-size.
    """
    if len(shape) == 2:
        shape = (*shape, GREY)
    if len(shape) != 3:
        raise ArtifactError(
            f"the network takes {_written(shape)}, which is no image: (height, width, channels) "
            "is needed. Begin it with the layers that flatten or reshape an image"
        )
    channels = shape[2]
    if channels not in (GREY, RGB):
        first = shape[0] in (GREY, RGB)
        raise ArtifactError(
            f"the network takes {_written(shape)}, its last axis must have 1 or 3 channels"
            + ("; channels in front are not supported" if first else "")
        )
    height, width = _size(shape[0], shape[1], options.input_size)
    return InputSpec(height, width, channels, options.resize, options.interpolation)


def _size(height: int | None, width: int | None, wanted: tuple[int, int] | None) -> tuple[int, int]:
    if wanted is None:
        if height is None or width is None:
            raise ArtifactError(
                f"the network takes images of any size ({_written((height, width))}): name the "
                "one it was trained with by --input-size HEIGHTxWIDTH"
            )
        return height, width
    if height not in (None, wanted[0]) or width not in (None, wanted[1]):
        raise ArtifactError(
            f"--input-size is {wanted[0]}x{wanted[1]}, the network takes {height}x{width} only"
        )
    return wanted


def _spread(flag: str, values: tuple[float, ...], channels: int) -> list[float]:
    if len(values) not in (1, channels):
        raise ArtifactError(
            f"{flag} has {len(values)} values, the network takes images of {channels} "
            f"channel{'s' if channels > 1 else ''}"
        )
    return list(values) if len(values) == channels else list(values) * channels


def _written(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"
