"""The JSON that the admin routes take and answer with, described for OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import ModelSummary, RequestId
from app.registry.rollout_plan import Target


class LabelRequest(BaseModel):
    """Where a label is to point."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, description="A version of the store.", examples=[2])


class CanaryRequest(BaseModel):
    """What a canary is to be; the thresholds that are left out are those of the settings."""

    model_config = ConfigDict(extra="forbid")

    target: Target = Field(description="A version, a label, or `latest`.", examples=["3"])
    share: float = Field(
        ge=0, le=1, description="Of the requests that name no version, 0..1.", examples=[0.05]
    )
    max_error_rate: float | None = Field(
        None, ge=0, le=1, description="Above this share of failed requests it ends."
    )
    max_latency_ratio: float | None = Field(
        None, ge=1, description="Above this multiple of the default version's p95 it ends."
    )
    min_requests: int | None = Field(
        None, ge=1, le=500, description="Nothing is concluded from fewer requests."
    )


class AdminResponse(BaseModel):
    """What became of an order."""

    request_id: RequestId
    changed: bool = Field(description="False where the same was ordered before.")
    settled: bool = Field(
        description="Whether the service is in line with it; else it still loads."
    )
    models: list[ModelSummary] = Field(description="The model as it stands now, or all of them.")
