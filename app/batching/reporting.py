"""What the batcher tells about its work: to the observer, and to refused callers."""

from __future__ import annotations

import logging

from app.batching.policy import retry_after_s
from app.batching.runner import BatchOutcome
from app.batching.tracing import trace_batch
from app.types import BatchObserver

logger = logging.getLogger(__name__)

MEMORY = 0.9
"""Weight of the past per batch: the rate follows about the last ten batches."""


class BatchReporter:
    """Tells the observer and measures the rate; owned by the event loop.

    An observer that raises costs a metric, never an answer: its first error is logged.
    """

    __slots__ = ("_busy_s", "_has_observer_raised", "_images", "_name", "_observer")

    def __init__(self, observer: BatchObserver, name: str) -> None:
        """Start with nothing measured."""
        self._observer = observer
        self._name = name
        self._images = 0.0
        self._busy_s = 0.0
        self._has_observer_raised = False

    def retry_after_s(self, queue_size: int) -> float:
        """Return when ``queue_size`` images will have been executed, in seconds, at least 1."""
        return retry_after_s(queue_size, self._images / self._busy_s if self._busy_s > 0 else 0.0)

    def queue_size_changed(self, queue_size: int) -> None:
        """Pass on how many images wait."""
        try:
            self._observer.queue_size_changed(queue_size)
        except Exception:
            self._log_observer_error()

    def batch_finished(self, outcome: BatchOutcome) -> None:
        """Pass on what became of a batch, and log its failures: one record for all of them."""
        images = sum(execution.size for execution in outcome.executions)
        self._images = MEMORY * self._images + images
        self._busy_s = MEMORY * self._busy_s + outcome.finished_at_s - outcome.taken_at_s
        try:
            for execution in outcome.executions:
                self._observer.batch_executed(
                    size=execution.size, padded=execution.padded, duration_s=execution.duration_s
                )
            traced = []
            for task in outcome.tasks:
                self._observer.task_dequeued(outcome.taken_at_s - task.enqueued_at_s)
                if task.trace is not None:
                    traced.append(task)
            if traced:
                trace_batch(self._name, outcome, traced)
        except Exception:
            self._log_observer_error()
        if outcome.failures:
            logger.error(
                "images failed in execution",
                extra={"servable": self._name, "images": len(outcome.failures)},
                exc_info=outcome.failures[0][1].__cause__,
            )

    def batches_shrank(self, max_batch_size: int) -> None:
        """Log that the device has no memory for larger batches."""
        logger.warning(
            "device out of memory, batches made smaller for good",
            extra={"servable": self._name, "max_batch_size": max_batch_size},
        )

    def _log_observer_error(self) -> None:
        if not self._has_observer_raised:
            self._has_observer_raised = True
            logger.exception("batch observer raised", extra={"servable": self._name})
