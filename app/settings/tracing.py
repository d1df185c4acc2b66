"""The settings of traces."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from app.errors import TracingError
from app.settings.names import ENV_PREFIX, SettingsError
from app.tracing.policy import TracingPolicy
from app.tracing.tracing import Tracing, open_tracing


class TracingSettings(BaseSettings):
    """What ``Settings`` has about traces."""

    tracing_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+/\S+$",
        description="Where traces of requests are sent: the whole URL of an OTLP/HTTP receiver, "
        "http://collector:4318/v1/traces. Unset: none are made. Needs `keraserve[tracing]`.",
    )
    tracing_sample_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of the requests that are traced. Raised: each traced one takes nearly "
        "as much processor time again.",
    )
    tracing_follow_callers: bool = Field(
        True,
        description="Whether a request is traced where its `traceparent` says so, and only there. "
        "Off, where strangers may ask: the ratio alone decides.",
    )

    def tracing(self) -> Tracing | None:
        """Start tracing; None where there is none.

        Raises:
            SettingsError: OpenTelemetry is not installed.
        """
        if self.tracing_endpoint is None:
            return None
        policy = TracingPolicy(
            self.tracing_endpoint, self.tracing_sample_ratio, self.tracing_follow_callers
        )
        try:
            return open_tracing(policy)
        except TracingError as error:
            raise SettingsError(f"{error} ({ENV_PREFIX}TRACING_ENDPOINT)") from error
