"""Traces of single requests, sent to an OpenTelemetry collector where that is asked for.

``policy``
    Where they go, and of how many requests they are made.
``request_trace``
    What the rest of the service tells of a request; a Protocol, so that nobody else needs
    OpenTelemetry.
``sampler``
    Which requests are traced.
``tracing``
    All of it, from the start of the service to its end.
``spans``
    The only module that imports OpenTelemetry; imported where tracing is on.
``propagation``
    The trace that a caller is in, for requests that are sent.
"""
