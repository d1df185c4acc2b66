"""From what requests tell to OpenTelemetry's spans; imported where tracing is on."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.tracing.policy import TracingPolicy
from app.tracing.request_trace import BatchTimes
from app.tracing.sampler import Headers

Attributes = Mapping[str, str | int | float]

EXPORT_TIMEOUT_S = 5.0
"""For one request to the collector, repetitions included: a collector that hangs must not keep a
stopping service for longer. ``OTEL_EXPORTER_OTLP_TIMEOUT`` goes before."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_ERROR = Status(StatusCode.ERROR)
_UNSET = Status(StatusCode.UNSET)
_NS = 1_000_000_000


class SpanWriter:
    """Makes spans, finished as they are, and hands them to the thread that sends them.

    Not by ``Tracer.start_span``: with its locks, limits and checks of every attribute the five
    spans of a request take 70 µs of the event loop, which is two thirds of a classification; as
    they are made here, 5 µs. That what is sent can be read is tested against OTLP's own records.
    """

    def __init__(self, policy: TracingPolicy) -> None:
        """Start the thread; nothing is sent before there are spans.

        Names of the service, headers for the collector and the like are what OpenTelemetry's
        variables say: ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``,
        ``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_BSP_SCHEDULE_DELAY``.
        """
        has_timeout = any(name.endswith("_TIMEOUT") for name in os.environ if "OTLP" in name)
        exporter = OTLPSpanExporter(
            endpoint=policy.endpoint, timeout=None if has_timeout else EXPORT_TIMEOUT_S
        )
        self._processor = BatchSpanProcessor(exporter)
        ours = Resource({"service.name": "keraserve", "service.version": __version__})
        self._resource = Resource.create().merge(ours).merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("keraserve", __version__)
        self._ids = RandomIdGenerator()
        self._w3c = TraceContextTextMapPropagator()

    def begin(self, headers: Headers, started_s: float) -> SpanRequestTrace:
        """Begin the trace of a request, or its part of the trace of its caller."""
        carrier: dict[str, list[str]] = {}
        for name, value in headers:
            if name in (b"traceparent", b"tracestate"):
                carrier.setdefault(name.decode("ascii"), []).append(value.decode("latin-1"))
        found = get_current_span(self._w3c.extract(carrier)).get_span_context()
        parent = found if found.is_valid else None
        return SpanRequestTrace(self, parent, started_s)

    def new_context(self, parent: SpanContext | None) -> SpanContext:
        """Return the identity of a new span, in the trace of ``parent`` or in one of its own."""
        return SpanContext(
            self._ids.generate_trace_id() if parent is None else parent.trace_id,
            self._ids.generate_span_id(),
            is_remote=False,
            trace_flags=_SAMPLED,
            trace_state=None if parent is None else parent.trace_state,
        )

    def write(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        times_ns: tuple[int, int],
        attributes: Attributes,
        *,
        links: Sequence[Link] = (),
        kind: SpanKind = SpanKind.INTERNAL,
        status: Status = _UNSET,
    ) -> None:
        """Hand over one span; ``times_ns`` are Unix times of its beginning and its end."""
        span = ReadableSpan(
            name,
            context,
            parent,
            resource=self._resource,
            attributes=attributes,
            links=links,
            kind=kind,
            status=status,
            start_time=times_ns[0],
            end_time=max(times_ns),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)

    def shutdown(self) -> None:
        """Send what is left, and end the thread; blocks."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


class SpanRequestTrace:
    """The spans of one request; implements ``RequestTrace``.

    Its clocks are compared with the time of day once, when it begins: its spans fit one another
    also where the time of day is set meanwhile.
    """

    __slots__ = ("_monotonic_ns", "_parent", "_perf_ns", "_started_ns", "_writer", "context")

    def __init__(self, writer: SpanWriter, parent: SpanContext | None, started_s: float) -> None:
        """Begin; ``started_s`` is on ``time.perf_counter``."""
        self._writer = writer
        self._parent = parent
        self.context = writer.new_context(parent)
        now_ns = time.time_ns()
        self._perf_ns = now_ns - time.perf_counter_ns()
        self._monotonic_ns = now_ns - time.monotonic_ns()
        self._started_ns = self._perf_ns + int(started_s * _NS)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.context.trace_id:032x}"

    @property
    def response_header(self) -> bytes:
        """``traceresponse``, as level 2 of W3C Trace Context has it."""
        return f"00-{self.trace_id}-{self.context.span_id:016x}-01".encode("ascii")

    def decoded(self, duration_s: float, format_name: str) -> None:
        """Write ``decode``."""
        end_ns = self._perf_ns + time.perf_counter_ns()
        times_ns = (end_ns - int(duration_s * _NS), end_ns)
        self._child("decode", times_ns, {"keraserve.image.format": format_name})

    def batch_executed(self, batch: BatchTimes) -> None:
        """Write ``batch`` with its ``execute``, in this trace, and ``queue`` in each trace.

        The batch is linked to the requests of all traced images in it; what other traces than this
        one have of it is a link from their ``queue``.
        """
        traces = [(trace, queued_s) for trace, queued_s in batch.waiting
                  if isinstance(trace, SpanRequestTrace)]  # fmt: skip
        context = self._writer.new_context(self.context)
        for trace, queued_s in traces:
            links = () if trace is self else (Link(context),)
            times_ns = (trace._unix_ns(queued_s), trace._unix_ns(batch.taken_s))
            trace._child("queue", times_ns, {}, links=links)
        requests = {trace.context.span_id: trace.context for trace, _ in traces}
        self._writer.write(
            "batch",
            context,
            self.context,
            (self._unix_ns(batch.taken_s), self._unix_ns(batch.finished_s)),
            {"keraserve.servable": batch.servable, "keraserve.batch.failed": batch.failed},
            links=[Link(each) for each in requests.values()],
            status=_ERROR if batch.failed else _UNSET,
        )
        for each in batch.executions:
            self._writer.write(
                "execute",
                self._writer.new_context(context),
                context,
                (self._unix_ns(each.started_s), self._unix_ns(each.started_s + each.duration_s)),
                {
                    "keraserve.execution.images": each.images,
                    "keraserve.execution.padded": each.padded,
                },
            )

    def end(self, name: str, attributes: Attributes, *, is_error: bool) -> None:
        """Write the request itself."""
        self._writer.write(
            name,
            self.context,
            self._parent,
            (self._started_ns, self._perf_ns + time.perf_counter_ns()),
            attributes,
            kind=SpanKind.SERVER,
            status=_ERROR if is_error else _UNSET,
        )

    def _child(
        self,
        name: str,
        times_ns: tuple[int, int],
        attributes: Attributes,
        links: Sequence[Link] = (),
    ) -> None:
        context = self._writer.new_context(self.context)
        self._writer.write(name, context, self.context, times_ns, attributes, links=links)

    def _unix_ns(self, monotonic_s: float) -> int:
        return self._monotonic_ns + int(monotonic_s * _NS)
