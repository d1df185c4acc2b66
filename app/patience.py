"""How long clients may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PatiencePolicy:
    """How long a client may take for each part of its request before its connection is closed.

    Attributes:
        header_s: For the head of a request, from the connection or from its first byte.
        body_s: For the body.
        write_s: To read on where an answer does not fit into the buffers of the system.
    """

    header_s: float = 10.0
    body_s: float = 60.0
    write_s: float = 30.0
