"""Prometheus metrics of the service: their names, labels, buckets, and who may count them.

Names and labels are fixed by the HTTP contract; every label set is closed. The registry is
passed in, so that each application (and each test) has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)

from app.tallies import Distribution, DistributionFamily, TallyFamily
from app.types import EngineInfo, ServableId, ServableState

# From half of what a small image costs on an idle CPU to the default request timeout.
LATENCY_BUCKETS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
# Decoding and queueing of one small image is far below a millisecond.
SHORT_BUCKETS_S = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0,
)  # fmt: skip
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

IMAGE_OUTCOMES = (
    "ok", "invalid", "queue_full", "deadline", "cancelled", "execution_failed", "not_ready",
)  # fmt: skip


class Metrics:
    """All metrics of one application."""

    def __init__(self, registry: CollectorRegistry, batch_sizes: Sequence[int]) -> None:
        """Register everything with ``registry``; ``batch_sizes`` are the histogram's buckets.

        ``in_flight`` is counted by whoever answers requests, on the event loop.
        """
        self.registry = registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._define_request_metrics()
        self._define_servable_metrics(batch_sizes)
        self._define_model_metrics()
        self._servables: dict[ServableId, ServableMetrics] = {}
        # Asked when they are read: both change several times with every request.
        self.in_flight = 0
        self.in_flight_requests.set_function(lambda: self.in_flight)
        self.queue_size.set_function(
            lambda: sum(each.waiting for each in list(self._servables.values()))
        )
        self._estimates: dict[ServableId, Callable[[], float]] = {}
        self._decode_durations: dict[str, Distribution] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"keraserve_{name}", text, labels, registry=self.registry)

    def _tally(self, name: str, text: str, *labels: str) -> TallyFamily:
        return TallyFamily(f"keraserve_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"keraserve_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: Sequence[float] = LATENCY_BUCKETS_S
    ) -> DistributionFamily:
        name = f"keraserve_{name}"
        return DistributionFamily(name, text, labels, registry=self.registry, buckets=buckets)

    def _define_request_metrics(self) -> None:
        labels = ("route", "method", "code")
        self.requests = self._tally(
            "requests_total", "Requests answered; code 499: the client left.", *labels
        )
        # Before the durations of all, so that a scrape that is overtaken by requests has never more
        # of these than of those.
        self.failed_request_duration = self._histogram(
            "failed_request_duration_seconds",
            "The same of requests that were refused or failed, codes from 400: of all less these,"
            " those that were answered.",
            "route",
        )
        self.request_duration = self._histogram(
            "request_duration_seconds", "From the first byte of a request to its answer.", "route"
        )
        self.in_flight_requests = self._gauge("in_flight_requests", "Requests being answered now.")
        self.decode_duration = self._histogram(
            "decode_duration_seconds", "Bytes to pixels.", "format", buckets=SHORT_BUCKETS_S
        )
        self.limited_requests = self._counter(
            "limited_requests_total",
            "Requests refused for a limit of their caller.",
            "subject",
            "limit",
        )
        self.certificate_changes = self._counter(
            "certificate_changes_total", "Changes of the certificate's files.", "outcome"
        )
        for outcome in ("taken", "refused"):  # from 0 on: in PromQL, the first one rises from it
            self.certificate_changes.labels(outcome)
        self.queue_size = self._gauge("queue_size", "Images waiting, all versions together.")
        self.max_queue_size = self._gauge("max_queue_size", "Images that may wait for one version.")
        self.ready = self._gauge("ready", "Whether /readyz says that requests may come.")

    def _define_servable_metrics(self, batch_sizes: Sequence[int]) -> None:
        servable = ("model", "version")
        self.images = self._tally("images_total", "Images by how they ended.", *servable, "outcome")
        self.queue_delay = self._histogram(
            "queue_delay_seconds",
            "From the queue to the device.",
            *servable,
            buckets=SHORT_BUCKETS_S,
        )
        self.execution_duration = self._histogram(
            "execution_duration_seconds", "One batch on the device.", *servable
        )
        self.batch_size = self._histogram(
            "batch_size",
            "Images per execution, padding not counted.",
            *servable,
            buckets=batch_sizes,
        )
        self.executions = self._tally("executions_total", "Batches executed.", *servable)
        self.padded_images = self._tally(
            "padded_images_total", "Rows of filling executed beside images.", *servable
        )
        self.predictions = self._tally(
            "predictions_total", "Answers by their first label.", *servable, "label"
        )
        self.prediction_confidence = self._histogram(
            "prediction_confidence",
            "Score of the first label.",
            *servable,
            buckets=CONFIDENCE_BUCKETS,
        )

    def _define_model_metrics(self) -> None:
        servable = ("model", "version")
        info = ("engine", "precision", "device", "sha256")
        self.model_info = self._gauge("model_info", "1 for each loaded version.", *servable, *info)
        self.model_state = self._gauge(
            "model_state", "1 for the state that a version is in.", *servable, "state"
        )
        self.engine_restarts = self._counter(
            "engine_restarts_total", "Engines that were restarted because they failed.", *servable
        )
        self.admission_estimate = self._gauge(
            "admission_estimate_seconds",
            "When an image accepted now would be answered at the latest, as far as is known.",
            *servable,
        )

    def for_servable(self, servable_id: ServableId, classes: Sequence[str]) -> ServableMetrics:
        """Return the metrics of one version, labels already bound."""
        metrics = self._servables[servable_id] = ServableMetrics(self, servable_id, classes)
        return metrics

    def set_state(self, servable_id: ServableId, state: ServableState | None) -> None:
        """Show the state a version is in; the other states become 0. None: it is in none any more.

        What was counted of it stays: counters only ever rise.
        """
        for other in ServableState:
            labels = (servable_id.name, str(servable_id.version), other.value)
            if state is None:
                self.model_state.remove(*labels)
            else:
                self.model_state.labels(*labels).set(other is state)

    def count_restart(self, servable_id: ServableId) -> None:
        """Count one more attempt to restart the engine of a version."""
        self.engine_restarts.labels(servable_id.name, str(servable_id.version)).inc()

    def set_info(self, servable_id: ServableId, info: EngineInfo, sha256: str) -> None:
        """Show what a loaded version runs on; ``sha256`` is that of its weights file."""
        self.model_info.labels(
            servable_id.name, servable_id.version, info.engine, info.precision, info.device, sha256
        ).set(1)

    def set_estimate(self, servable_id: ServableId, estimate_s: Callable[[], float]) -> None:
        """Show what a version's batcher expects, as ``ask_estimates`` found it last."""
        self.admission_estimate.labels(servable_id.name, str(servable_id.version))
        self._estimates[servable_id] = estimate_s

    def ask_estimates(self) -> None:
        """Ask all batchers what they expect; on the event loop, which their queues belong to.

        Not when the gauge is read: that is in a thread, for which a queue can change under its
        eyes, and then no metrics were answered at all.
        """
        for servable_id, estimate_s in self._estimates.items():
            labels = (servable_id.name, str(servable_id.version))
            self.admission_estimate.labels(*labels).set(estimate_s())

    def clear_estimate(self, servable_id: ServableId) -> None:
        """Forget a version that was closed."""
        self._estimates.pop(servable_id, None)
        self.admission_estimate.remove(servable_id.name, str(servable_id.version))

    def clear_info(self, servable_id: ServableId, info: EngineInfo, sha256: str) -> None:
        """Forget a version that was closed."""
        self.model_info.remove(
            servable_id.name, str(servable_id.version), info.engine, info.precision, info.device,
            sha256,
        )  # fmt: skip

    def certificate_changed(self, is_good: bool) -> None:
        """Count a change of the certificate's files; called in any thread."""
        self.certificate_changes.labels("taken" if is_good else "refused").inc()

    def image_decoded(self, format_name: str, seconds: float) -> None:
        """Count one image's way from bytes to pixels."""
        child = self._decode_durations.get(format_name)
        if child is None:
            child = self._decode_durations[format_name] = self.decode_duration.labels(format_name)
        child.observe(seconds)


class ServableMetrics:
    """Metrics of one version; implements ``app.types.BatchObserver``.

    Label children are looked up once, here: doing it per image costs more than the counting.

    Attributes:
        waiting: Images in the queue.
    """

    def __init__(self, metrics: Metrics, servable_id: ServableId, classes: Sequence[str]) -> None:
        """Bind the labels."""
        labels = (servable_id.name, str(servable_id.version))
        self.waiting = 0
        self._queue_delay = metrics.queue_delay.labels(*labels)
        self._execution_duration = metrics.execution_duration.labels(*labels)
        self._batch_size = metrics.batch_size.labels(*labels)
        self._executions = metrics.executions.labels(*labels)
        self._padded_images = metrics.padded_images.labels(*labels)
        self._confidence = metrics.prediction_confidence.labels(*labels)
        self._predictions = [metrics.predictions.labels(*labels, name) for name in classes]
        self._images = {name: metrics.images.labels(*labels, name) for name in IMAGE_OUTCOMES}

    def batch_executed(self, *, size: int, padded: int, duration_s: float) -> None:
        """Count one execution."""
        self._batch_size.observe(size)
        self._executions.inc()
        self._padded_images.inc(padded)
        self._execution_duration.observe(duration_s)

    def task_dequeued(self, queue_delay_s: float) -> None:
        """Count one image's wait."""
        self._queue_delay.observe(queue_delay_s)

    def queue_size_changed(self, queue_size: int) -> None:
        """Show the queue's length."""
        self.waiting = queue_size

    def image_ended(self, outcome: str) -> None:
        """Count one image; ``outcome`` is one of ``IMAGE_OUTCOMES``."""
        self._images[outcome].inc()

    def image_predicted(self, class_id: int, score: float) -> None:
        """Count one answer by its first class."""
        self._predictions[class_id].inc()
        self._confidence.observe(score)
