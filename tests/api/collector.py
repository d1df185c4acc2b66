"""A collector of traces: the receiving side of OTLP over HTTP, with OpenTelemetry's own records."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True)
class ReceivedSpan:
    """One span, as it came over the wire."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    start_ns: int
    end_ns: int
    links: list[tuple[str, str]]
    attributes: dict[str, Any]
    is_server: bool
    is_error: bool
    resource: dict[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """What links name it by."""
        return (self.trace_id, self.span_id)


class Collector:
    """Keeps what comes in; complete once the service that sends has stopped.

    Attributes:
        is_asked: Set once something has come in.
        may_answer: While it is not set, nobody gets an answer: the collector hangs.
    """

    def __init__(self) -> None:
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.spans: list[ReceivedSpan] = []
        self.paths: set[str] = set()
        self.url = ""

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReceivedSpan:
        (span,) = self.named(name)
        return span

    def traces(self) -> dict[str, list[ReceivedSpan]]:
        found: dict[str, list[ReceivedSpan]] = defaultdict(list)
        for span in self.spans:
            found[span.trace_id].append(span)
        return found

    def take(self, body: bytes) -> None:
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _plain(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [_received(span, resource) for span in of_scope.spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen for traces at a port of its own."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.paths.add(self.path)
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            collector.is_asked.set()
            collector.may_answer.wait()
            answer = ExportTraceServiceResponse().SerializeToString()
            with contextlib.suppress(OSError):  # who asked waits no longer
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _received(span: Span, resource: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        trace_state=span.trace_state,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        attributes=_plain(span.attributes),
        is_server=span.kind == Span.SPAN_KIND_SERVER,
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        resource=resource,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
