"""What ServiceMonitor (monitoring.coreos.com/v1) and ScaledObject (keda.sh/v1alpha1) may hold.

Of the fields that their definitions have, those that deploy/kubernetes uses, with the same types,
bounds and patterns: prometheus-operator 0.93 and KEDA 2.20. Whatever else stands in a manifest is
refused; whoever needs another field copies it from the definition. No definition is carried here:
each has thousands of lines.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_DURATION = (
    r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$"
)
_NUMBER = r"^[0-9]+(\.[0-9]+)?$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(_Strict):
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    namespace: str | None = None
    labels: dict[str, str] = {}


class _SecretKey(_Strict):
    name: str
    key: str


class _Authorization(_Strict):
    type: Literal["Bearer"] = "Bearer"
    credentials: _SecretKey


class Endpoint(_Strict):
    port: str
    path: str = Field(pattern="^/")
    scheme: Literal["http", "https"]
    interval: str = Field(pattern=_DURATION)
    scrapeTimeout: str = Field(pattern=_DURATION)
    authorization: _Authorization | None = None


class Selector(_Strict):
    matchLabels: dict[str, str] = Field(min_length=1)


class _ServiceMonitorSpec(_Strict):
    jobLabel: str
    selector: Selector
    endpoints: list[Endpoint] = Field(min_length=1)


class ServiceMonitor(_Strict):
    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor"]
    metadata: Metadata
    spec: _ServiceMonitorSpec


class _ScaleTarget(_Strict):
    """Without ``kind`` a Deployment."""

    name: str = Field(min_length=1)


class _Fallback(_Strict):
    failureThreshold: int = Field(ge=0)
    replicas: int = Field(ge=0)
    behavior: Literal[
        "static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"
    ] = "static"


class _ScalingPolicy(_Strict):
    type: Literal["Pods", "Percent"]
    value: int = Field(gt=0)
    periodSeconds: int = Field(gt=0, le=1800)


class _ScalingRules(_Strict):
    stabilizationWindowSeconds: int = Field(ge=0, le=3600)
    policies: list[_ScalingPolicy] = Field(min_length=1)


class _Behavior(_Strict):
    scaleDown: _ScalingRules | None = None
    scaleUp: _ScalingRules | None = None


class _AutoscalerConfig(_Strict):
    behavior: _Behavior


class _Advanced(_Strict):
    horizontalPodAutoscalerConfig: _AutoscalerConfig


class PrometheusQuery(_Strict):
    """Metadata of KEDA's prometheus trigger; in the definition any strings, so numbers are, too."""

    serverAddress: str = Field(pattern="^https?://")
    query: str = Field(min_length=1)
    threshold: str = Field(pattern=_NUMBER)
    activationThreshold: str | None = Field(None, pattern=_NUMBER)
    ignoreNullValues: Literal["true", "false"] = "true"


class Trigger(_Strict):
    type: Literal["prometheus"]
    name: str
    metricType: Literal["AverageValue", "Value"]
    metadata: PrometheusQuery


class _ScaledObjectSpec(_Strict):
    scaleTargetRef: _ScaleTarget
    minReplicaCount: int = Field(ge=0)
    maxReplicaCount: int = Field(ge=1)
    fallback: _Fallback
    advanced: _Advanced
    triggers: list[Trigger] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.minReplicaCount > self.maxReplicaCount:
            raise ValueError("minReplicaCount must be less than or equal to maxReplicaCount")
        return self


class ScaledObject(_Strict):
    apiVersion: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: _ScaledObjectSpec


CustomResource = Annotated[ServiceMonitor | ScaledObject, Field(discriminator="kind")]
