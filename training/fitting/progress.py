"""Shows a person how far a fit is: bars on a terminal, otherwise one line per epoch."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any, TextIO

from tqdm import tqdm

from training.fitting.callbacks import Observer

logger = logging.getLogger(__name__)

REFRESH_S = 0.1
"""Between two drawings of the bars: faster is not seen, and drawing takes time from the steps."""


def progress(
    *, epochs: int, images: int, batch_size: int, stream: TextIO | None = None
) -> Observer:
    """Return bars if ``stream`` is a terminal, else lines in the log.

    Args:
        epochs: Of the whole run.
        images: Of one epoch.
        batch_size: Images per step.
        stream: Standard error by default.
    """
    stream = stream or sys.stderr
    if stream.isatty():
        return ProgressBars(epochs, images, batch_size, stream)
    return ProgressLines(epochs, images)


class ProgressLines(Observer):
    """One line in the log at the end of each epoch, and nothing else."""

    def __init__(self, epochs: int, images: int) -> None:
        """Count to ``epochs``; each has ``images``."""
        super().__init__()
        self._epochs = epochs
        self._images = images

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the stop-watch of this session; epochs of earlier ones do not count."""
        self._started = time.monotonic()
        self._seen = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the line."""
        logs = logs or {}
        self._seen += 1
        spent_s = time.monotonic() - self._started
        left_s = spent_s / self._seen * (self._epochs - epoch - 1)
        logger.info("%s", epoch_line(logs, self._epochs, self._images / logs["train_s"], left_s))


class ProgressBars(Observer):
    """A bar for the run and one for the epoch below it, drawn at most ten times a second.

    Threads: Keras calls ``on_train_batch_end`` from a pool, in any order; a lock keeps the bars
    whole, and a step that is older than what is shown is left out.
    """

    def __init__(self, epochs: int, images: int, batch_size: int, stream: TextIO) -> None:
        """Draw on ``stream``; the arguments are those of ``progress``."""
        super().__init__()
        self._epochs = epochs
        self._images = images
        self._batch_size = batch_size
        self._stream = stream
        self._lock = threading.Lock()
        self._run_bar: Any = None
        self._epoch_bar: Any = None
        self._drawn = 0.0
        self._shown = -1  # the newest step in the bars
        self._results = ""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Open the epoch's bar, and the run's before the first epoch of this session."""
        with self._lock:
            if self._run_bar is None:
                self._run_bar = self._bar(
                    self._epochs,
                    initial=epoch,
                    bar_format="{desc} |{bar}| {remaining} left{postfix}",
                )
            self._run_bar.set_description_str(f"run    {epoch}/{self._epochs}", refresh=False)
            self._epoch_bar = self._bar(
                self._images,
                desc=f"epoch  {epoch + 1}/{self._epochs}",
                bar_format="{desc} |{bar}| {remaining} left{postfix}",
                leave=False,
            )
            self._started = time.monotonic()
            self._epoch, self._shown = epoch, -1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw the step, unless the last drawing is fresh."""
        now = time.monotonic()
        if now - self._drawn < REFRESH_S:  # without the lock: nearly every step ends here
            return
        with self._lock:
            if self._epoch_bar is None or batch <= self._shown:
                return
            self._drawn, self._shown = now, batch
            images = min((batch + 1) * self._batch_size, self._images)
            logs = logs or {}
            self._epoch_bar.set_postfix_str(
                f"loss {logs['loss']:.3f}, accuracy {logs['accuracy']:.3f}, "
                f"{images / (now - self._started):.0f} images/s",
                refresh=False,
            )
            self._draw(self._epoch_bar, images)
            self._draw(self._run_bar, self._epoch + images / self._images)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Close the epoch's bar, and show its validation at the run's."""
        logs = logs or {}
        with self._lock:
            self._close_epoch()
            self._run_bar.set_description_str(f"run    {epoch + 1}/{self._epochs}", refresh=False)
            self._run_bar.set_postfix_str(
                f"val loss {logs['val_loss']:.3f}, val accuracy {logs['val_accuracy']:.3f}",
                refresh=False,
            )
            self._draw(self._run_bar, epoch + 1)

    def close(self) -> None:
        """Leave the run's bar on the screen, and the cursor below it."""
        with self._lock:
            self._close_epoch()
            if self._run_bar is not None:
                self._run_bar.close()
                self._run_bar = None

    def _bar(self, total: int, **options: Any) -> Any:
        # smoothing=0: the time left follows the mean speed of this session, validation included;
        # it would jump with the last ten steps otherwise.
        return tqdm(total=total, file=self._stream, dynamic_ncols=True, smoothing=0, **options)

    def _draw(self, bar: Any, done: float) -> None:
        bar.n = done
        bar.refresh()

    def _close_epoch(self) -> None:
        if self._epoch_bar is not None:
            self._epoch_bar.close()
            self._epoch_bar = None


def epoch_line(logs: dict[str, Any], epochs: int, images_per_s: float, left_s: float) -> str:
    """Return what an epoch has brought, in one line.

    Args:
        logs: Its ``EpochRecord``, or more.
        epochs: Of the whole run.
        images_per_s: In training steps.
        left_s: Until the last epoch ends, seconds.
    """
    return "  ".join(
        [
            f"epoch {int(logs['epoch'])}/{epochs}",
            f"loss {logs['loss']:.4f}",
            f"accuracy {logs['accuracy']:.4f}",
            f"val loss {logs['val_loss']:.4f}",
            f"val accuracy {logs['val_accuracy']:.4f}",
            f"learning rate {logs['learning_rate']:.2g}",
            f"{images_per_s:.0f} images/s",
            f"{duration(left_s)} left",
        ]
    )


def duration(seconds: float) -> str:
    """Return a time span in its two largest units, e.g. ``1 h 3 min``, ``40 s``."""
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_min} min"
    return f"{minutes} min {rest_s} s" if minutes else f"{rest_s} s"
