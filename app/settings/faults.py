"""The settings about faults: engines that fail, and clients that are slow."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from app.patience import PatiencePolicy
from app.restarts import RestartPolicy

_RESTARTS_MAY_TAKE = 10
"""A load takes a few times as long as the longest execution: warm-up is one of each size."""


class FaultSettings(BaseSettings):
    """What ``Settings`` has about faults."""

    stall_after_s: float = Field(
        30,
        gt=0,
        le=3600,
        description="An execution that takes longer makes the service unready, and its engine is "
        "restarted, s. Raise it where honest executions take seconds.",
    )
    engine_restarts: int = Field(
        3,
        ge=0,
        le=1000,
        description="How often in an hour the engine of a version that died, hangs or fails on "
        "every image is restarted, and the decode threads likewise, before `/livez` fails; 0: "
        "never.",
    )
    header_timeout_s: float = Field(
        10,
        gt=0,
        le=3600,
        description="How long a client may take for the head of a request, s, from the connection "
        "or from its first byte; then the connection is closed.",
    )
    body_timeout_s: float = Field(
        60,
        gt=0,
        le=86_400,
        description="How long a client may take for the body of a request, s; then the connection "
        "is closed. Routes that classify answer 504 at the deadline of the request, if that comes "
        "before.",
    )
    write_timeout_s: float = Field(
        30,
        gt=0,
        le=86_400,
        description="How long a client may leave an answer unread, s, that does not fit into the "
        "buffers of the system; then the connection is closed.",
    )
    keep_alive_timeout_s: int = Field(
        5,
        ge=1,
        le=3600,
        description="How long a connection is kept without a request, s. Raise it above that of a "
        "load balancer before the service.",
    )

    def restart_policy(self) -> RestartPolicy:
        """How often what failed is restarted."""
        return RestartPolicy(
            most=self.engine_restarts, patience_s=_RESTARTS_MAY_TAKE * self.stall_after_s
        )

    def patience_policy(self) -> PatiencePolicy:
        """How long clients may take."""
        return PatiencePolicy(
            header_s=self.header_timeout_s,
            body_s=self.body_timeout_s,
            write_s=self.write_timeout_s,
        )
