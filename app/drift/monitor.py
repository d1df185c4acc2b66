"""All windows of the service, as Prometheus gauges; computed when Prometheus asks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import ClassVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.artifacts.manifest import Manifest
from app.artifacts.statistics import CHANNEL_NAMES, CLASSES, ReferenceStatistics, images_needed
from app.drift.comparison import stability_indices, window_figures
from app.drift.policy import DriftPolicy
from app.drift.window import DriftWindow
from app.types import Clock, ServableId

logger = logging.getLogger(__name__)

TRAINING, VALIDATION, SAMPLES = "training", "validation", "samples"
"""Images that a reference is of; an imported version has its samples alone."""


@dataclass(frozen=True, slots=True, eq=False)
class _Observed:
    """A version's window with what it is compared with."""

    window: DriftWindow
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    reference: ReferenceStatistics | None


class DriftMonitor(Collector):
    """Has a window for each version that is served, and exports them.

    Loop: ``open`` and ``close`` run on the event loop, ``collect`` in any thread: the versions are
    replaced as a whole, never changed.
    """

    _FAMILIES: ClassVar[dict[str, tuple[str, tuple[str, ...]]]] = {
        "drift_window_images": ("Images that the window's classes and confidence are of.", ()),
        "drift_window_pixel_images": ("Images that the window's channels are of.", ()),
        "drift_window_class_ratio": ("Share of the images given this class.", ("label",)),
        "drift_window_confidence_ratio": ("Mean score of the first label.", ()),
        "drift_window_channel_mean": ("Mean of a channel's pixels, 0..255.", ("channel",)),
        "drift_window_channel_spread": (
            "Standard deviation of a channel's pixels, 0..255.",
            ("channel",),
        ),
        "drift_reference_class_ratio": (
            "Share of this class in the training images, or in an imported version's samples.",
            ("label",),
        ),
        "drift_reference_confidence_ratio": (
            "Mean score of the first label, on training, validation, or an imported version's "
            "sample images.",
            ("images",),
        ),
        "drift_reference_channel_mean": (
            "The window's figure, of training or of an imported version's samples.",
            ("channel",),
        ),
        "drift_reference_channel_spread": (
            "The window's figure, of training or of an imported version's samples.",
            ("channel",),
        ),
        "population_stability_index": (
            "Distance of the window from the reference, less what chance makes of it.",
            ("signal",),
        ),
    }

    def __init__(
        self, policy: DriftPolicy, registry: CollectorRegistry, clock: Clock = monotonic
    ) -> None:
        """Register with ``registry``; there are no windows yet."""
        self._policy = policy
        self._clock = clock
        self._observed: dict[ServableId, _Observed] = {}
        registry.register(self)

    def open(self, servable_id: ServableId, manifest: Manifest) -> DriftWindow | None:
        """Return an empty window for a version that begins to serve; None where they are off."""
        if self._policy.window == 0:
            return None
        channels = manifest.input.channels
        window = DriftWindow(self._policy, channels, self._clock)
        observed = _Observed(window, manifest.classes, CHANNEL_NAMES[channels], manifest.statistics)
        self._observed = {**self._observed, servable_id: observed}
        if manifest.statistics is not None:
            self._tell_what_is_short(servable_id, manifest.statistics)
        return window

    def _tell_what_is_short(self, servable_id: ServableId, reference: ReferenceStatistics) -> None:
        too_small = [signal.shortage for signal in reference.signals if signal.is_too_small]
        if too_small:
            logger.warning(
                "reference too small for a drift index",
                extra={"servable": str(servable_id), "signals": ", ".join(too_small)},
            )
        for signal in reference.signals:
            needed = images_needed(len(signal.shares))
            # Only classes can be so many that a window is too short for them.
            if signal.name == CLASSES and needed > self._policy.window:
                window = self._policy.window
                fields = {"servable": str(servable_id), "needed": needed, "window": window}
                logger.info("drift window too short for an index over the classes", extra=fields)

    def close(self, servable_id: ServableId) -> None:
        """Forget a version that was closed, with its series."""
        left = {key: value for key, value in self._observed.items() if key != servable_id}
        self._observed = left

    def describe(self) -> Iterator[Metric]:
        """Yield the families without samples; the registry asks for their names."""
        yield from self._families().values()

    def collect(self) -> Iterator[Metric]:
        """Yield the families with the figures of this moment."""
        families = self._families()
        for servable_id, observed in self._observed.items():
            _Export(families, (servable_id.name, str(servable_id.version)), observed).run()
        yield from families.values()

    def _families(self) -> dict[str, GaugeMetricFamily]:
        return {
            name: GaugeMetricFamily(f"keraserve_{name}", text, labels=("model", "version", *labels))
            for name, (text, labels) in self._FAMILIES.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Export:
    """Writes the figures of one version into the families."""

    families: dict[str, GaugeMetricFamily]
    servable: tuple[str, str]
    observed: _Observed

    def run(self) -> None:
        content = self.observed.window.content()
        figures = window_figures(content, len(self.observed.classes))
        self._add("drift_window_images", len(content.class_ids))
        self._add("drift_window_pixel_images", len(content.means))
        if figures.mean_confidence is not None:
            self._add("drift_window_confidence_ratio", figures.mean_confidence)
        self._add_each("drift_window_class_ratio", self.observed.classes, figures.class_shares)
        self._add_channels("drift_window", figures.channel_means, figures.channel_spreads)
        reference = self.observed.reference
        if reference is None:
            return
        shares = reference.class_shares or ()
        self._add_each("drift_reference_class_ratio", self.observed.classes, shares)
        confidences = (reference.mean_confidence, reference.held_out.mean_confidence)
        images = (TRAINING, VALIDATION) if reference.source == "training" else (SAMPLES,)
        self._add_each("drift_reference_confidence_ratio", images, confidences)
        self._add_channels("drift_reference", reference.channel_means, reference.channel_spreads)
        for signal, index in stability_indices(content, reference).items():
            self._add("population_stability_index", index, signal)

    def _add_channels(
        self, prefix: str, means: tuple[float, ...], spreads: tuple[float, ...]
    ) -> None:
        self._add_each(f"{prefix}_channel_mean", self.observed.channels, means)
        self._add_each(f"{prefix}_channel_spread", self.observed.channels, spreads)

    def _add_each(self, family: str, labels: tuple[str, ...], values: tuple[float, ...]) -> None:
        for label, value in zip(labels, values, strict=False):  # no values: nothing seen yet
            self._add(family, value, label)

    def _add(self, family: str, value: float, *labels: str) -> None:
        self.families[family].add_metric((*self.servable, *labels), value)
