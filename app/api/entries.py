"""What was found out about an image, as the answers of all its routes tell it."""

from __future__ import annotations

from app.inference.records import Classification, StageTiming
from app.schemas.answers import ImageEntry, PredictionEntry, TimingEntry


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
    """Return milliseconds, to the microsecond; ``seconds`` are 0 or more."""
    # As round(…, 3), in a quarter of its time: it is asked five times for each image.
    return int(seconds * 1e6 + 0.5) / 1000
