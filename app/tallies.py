"""Counters and histograms of what one thread counts, for a hundredth of a request's time.

Those of ``prometheus_client`` may be counted in any thread: each of them takes locks, looks for its
bucket one by one and checks what it is given, which together took the event loop 6 µs for a
classification. These have one writer, and are lists of numbers; the library writes them out.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, Protocol, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_Sample: TypeAlias = tuple[str, dict[str, str], float]
"""Suffix of the name, labels beside those of the metric, and value."""


class _Child(Protocol):
    @property
    def created_s(self) -> float: ...

    def samples(self) -> Iterator[_Sample]: ...


class Tally:
    """A counter with its labels bound.

    Attributes:
        value: Counted so far.
        created_s: Since when, Unix time.
    """

    __slots__ = ("created_s", "value")

    def __init__(self) -> None:
        """Begin at 0."""
        self.value = 0.0
        self.created_s = time.time()

    def inc(self, amount: float = 1) -> None:
        """Count ``amount`` more, 0 or above."""
        self.value += amount

    def samples(self) -> Iterator[_Sample]:
        """Yield the value."""
        yield "_total", {}, self.value


class Distribution:
    """A histogram with its labels bound.

    Attributes:
        created_s: Since when, Unix time.
    """

    __slots__ = ("_bounds", "_counts", "_sum", "created_s")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin empty; ``bounds`` are ascending, and all that is above the last has its bucket."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self.created_s = time.time()

    def observe(self, amount: float) -> None:
        """Count one value; a bound belongs to the bucket below it."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def samples(self) -> Iterator[_Sample]:
        """Yield buckets, each with all below it, count and sum."""
        counts = self._counts.copy()  # in one step: what follows may be overtaken by the loop
        for bound, count in zip(self._bounds, accumulate(counts), strict=False):
            le = floatToGoString(bound)  # type: ignore[no-untyped-call]
            yield "_bucket", {"le": le}, count
        yield "_bucket", {"le": "+Inf"}, sum(counts)
        yield "_count", {}, sum(counts)
        yield "_sum", {}, self._sum


C = TypeVar("C", bound=_Child)


class _Family(Collector, Generic[C]):
    """One metric with all that was counted of it, by label values.

    Thread: children are made and counted by one thread, the event loop's. ``collect`` may run in
    any: each child is read after those before it, and a histogram's buckets in one step.
    """

    _type: str

    def __init__(
        self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        """Register with ``registry``; names and labels are as the library takes them."""
        self._name = name
        self._text = text
        self._labels = tuple(labels)
        self._children: dict[tuple[str, ...], C] = {}
        registry.register(self)

    def labels(self, *values: object) -> C:
        """Return the child of these label values, made where there is none yet.

        Raises:
            ValueError: There are more or fewer of them than labels.
        """
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {self._labels}; got {values}")
        key = tuple(map(str, values))
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._make()
        return child

    @abstractmethod
    def _make(self) -> C: ...

    def describe(self) -> Iterable[Metric]:
        """Return the metric without samples: the registry asks for its names."""
        return [Metric(self._name, self._text, self._type)]

    def collect(self) -> Iterable[Metric]:
        """Return the metric as it is now."""
        metric = Metric(self._name, self._text, self._type)
        tells_created = _tells_created()
        for values, child in list(self._children.items()):
            labels = dict(zip(self._labels, values, strict=True))
            for suffix, more, value in child.samples():
                metric.add_sample(self._name + suffix, labels | more, value)
            if tells_created:
                metric.add_sample(f"{self._name}_created", labels, child.created_s)
        return [metric]


class TallyFamily(_Family[Tally]):
    """As ``prometheus_client.Counter`` with labels, for one thread; names end in ``_total``."""

    _type = "counter"

    def __init__(
        self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        """Register with ``registry``."""
        super().__init__(name.removesuffix("_total"), text, labels, registry=registry)

    def _make(self) -> Tally:
        return Tally()


class DistributionFamily(_Family[Distribution]):
    """As ``prometheus_client.Histogram`` with labels, for one thread."""

    _type = "histogram"

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        *,
        registry: CollectorRegistry,
        buckets: Sequence[float],
    ) -> None:
        """Register with ``registry``; ``buckets`` are ascending upper bounds without infinity."""
        self._bounds = tuple(map(float, buckets))
        super().__init__(name, text, labels, registry=registry)

    def _make(self) -> Distribution:
        return Distribution(self._bounds)


def _tells_created() -> bool:
    """Whether the library tells since when it has counted; it can be asked not to.

    By what it does: the answer itself is no part of what it offers.
    """
    (probe,) = Counter("probe", "", registry=None).collect()
    return any(sample.name.endswith("_created") for sample in probe.samples)
