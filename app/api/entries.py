"""What was found out about an image, as the answers of all its routes tell it."""

from __future__ import annotations

from app.api.schemas import ImageEntry, PredictionEntry, TimingEntry
from app.inference.records import Classification, StageTiming


def prediction_entries(answer: Classification) -> list[PredictionEntry]:
    """Return the labels, best first."""
    return [PredictionEntry(*found) for found in answer.predictions]


def image_entry(answer: Classification) -> ImageEntry:
    """Return what the image was."""
    image = answer.image
    return ImageEntry(image.format, image.width, image.height, image.mode)


def timing_entry(timing: StageTiming, total_s: float) -> TimingEntry:
    """Return where the time went; s become ms."""
    return TimingEntry(
        decode_ms=in_ms(timing.decode_s),
        queue_ms=in_ms(timing.queue_s),
        execute_ms=in_ms(timing.execute_s),
        total_ms=in_ms(total_s),
        batch_size=timing.batch_size,
    )


def in_ms(seconds: float) -> float:
    """Return milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)
