"""The JSON that the admin routes take and answer with, described for OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from app.registry.rollout_plan import LatencyRatio, Share, Target, WindowSize
from app.schemas.answers import ModelSummary, RequestId


class LabelRequest(BaseModel):
    """Where a label is to point."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, description="A version of the store.", examples=[2])


class CanaryRequest(BaseModel):
    """What a canary is to be; the thresholds that are left out are those of the settings."""

    model_config = ConfigDict(extra="forbid")

    target: Target = Field(description="A version, a label, or `latest`.", examples=["3"])
    share: Share = Field(description="Of the requests that name no version, 0..1.", examples=[0.05])
    max_error_rate: Share | None = Field(
        None,
        description="Where the share of its requests that fail is by more than this above that of "
        "the default version, it ends.",
    )
    max_latency_ratio: LatencyRatio | None = Field(
        None, description="Above this multiple of the default version's p95 it ends."
    )
    min_requests: WindowSize | None = Field(
        None, description="Nothing is concluded from fewer requests."
    )


class AdminResponse(BaseModel):
    """What became of an order."""

    request_id: RequestId
    changed: bool = Field(description="False where the same was ordered before.")
    settled: bool = Field(
        description="Whether the service is in line with it; else it still loads."
    )
    models: list[ModelSummary] = Field(description="The model as it stands now, or all of them.")
