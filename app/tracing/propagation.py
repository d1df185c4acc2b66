"""The trace that a caller is in, for requests that are sent to a service."""

from __future__ import annotations

import sys


def outgoing_headers() -> dict[str, str]:
    """Return the headers that have a service go on with the present trace; empty without one.

    Nothing is imported for it: who is in a trace has imported OpenTelemetry.
    """
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry import propagate

    headers: dict[str, str] = {}
    propagate.inject(headers)  # by the propagators of the program; W3C's unless it says otherwise
    return headers
