"""The JSON that the routes answer with, described for OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.artifacts.manifest import Manifest, ManifestInput
from app.registry.rollout_plan import CanaryPlan, ShadowPlan
from app.rollout.status import RolloutState
from app.types import ServableState

_PREDICTION: JsonDict = {"label": "cat", "class_id": 3, "score": 0.9312}
_IMAGE: JsonDict = {"format": "PNG", "width": 32, "height": 32, "mode": "RGB"}
_TIMING: JsonDict = {
    "decode_ms": 0.21,
    "queue_ms": 0.02,
    "execute_ms": 1.1,
    "total_ms": 1.52,
    "batch_size": 1,
}
_REQUEST_ID = "01K5Z3J8WQ4M6T2R9V7XN0BCDE"
_UNSUPPORTED: JsonDict = {
    "status": 415,
    "code": "unsupported_format",
    "detail": "The file is not a known image; enabled formats: PNG, JPEG, WEBP, BMP, GIF, TIFF.",
}

RequestId = Annotated[
    str, Field(description="The request's X-Request-Id, echoed or made.", examples=[_REQUEST_ID])
]
ModelName = Annotated[str, Field(description="Name of the model.", examples=["cifar10"])]
Version = Annotated[int, Field(description="Version of the model.", examples=[1])]


class _Schema(BaseModel):
    # model_…: a field of TensorFlow Serving's status is named so.
    model_config = ConfigDict(protected_namespaces=())


# The answer of the busiest route, and that to whoever is refused: plain dataclasses, which Pydantic
# describes and serialises as it does its own models, at a quarter of the time for building and
# writing them. Nothing is checked here; the values are ours.


@dataclass(slots=True)
class PredictionEntry:
    """One label with its probability."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [_PREDICTION]})

    label: Annotated[str, Field(description="Name of the class.")]
    class_id: Annotated[
        int, Field(description="Position of the class in the model's list, from 0.")
    ]
    score: Annotated[float, Field(description="Probability, 0..1; those of all classes sum to 1.")]


@dataclass(slots=True)
class ImageEntry:
    """What the upload was, before it was brought to the network's input."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [_IMAGE]})

    format: Annotated[str, Field(description="File format, found in the content.")]
    width: Annotated[int, Field(description="Columns after EXIF orientation, px.")]
    height: Annotated[int, Field(description="Rows after EXIF orientation, px.")]
    mode: Annotated[
        str, Field(description="Pixel mode as stored, in Pillow's words: RGB, L, P, I;16, …")
    ]


@dataclass(slots=True)
class TimingEntry:
    """Where the time went, ms."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [_TIMING]})

    decode_ms: Annotated[float, Field(description="Bytes to pixels.")]
    queue_ms: Annotated[float, Field(description="From the queue to the device.")]
    execute_ms: Annotated[float, Field(description="The batch on the device.")]
    total_ms: Annotated[float, Field(description="From the request's arrival to its answer.")]
    batch_size: Annotated[
        int,
        Field(
            description="Images that were executed together, this one included; 0 where the "
            "scores were kept from before (`X-Cache: hit`)."
        ),
    ]


@dataclass(slots=True)
class ClassifyResponse:
    """The answer for one image."""

    request_id: RequestId
    model: ModelName
    version: Version
    predictions: Annotated[list[PredictionEntry], Field(description="Highest score first.")]
    image: ImageEntry
    timing: TimingEntry


class ErrorEntry(_Schema):
    """Why one file of several could not be classified."""

    model_config = ConfigDict(json_schema_extra={"examples": [_UNSUPPORTED]})

    status: int = Field(description="HTTP status that the file would have had by itself.")
    code: str = Field(description="Machine-readable kind of the error.")
    detail: str = Field(description="What is wrong, with the value and the limit.")


class BatchSuccess(_Schema):
    """The answer for one file of several."""

    filename: str | None = Field(description="As the part of the request named it.")
    predictions: list[PredictionEntry] = Field(description="Highest score first.")
    image: ImageEntry
    timing: TimingEntry


class BatchFailure(_Schema):
    """The error of one file of several; the others are answered all the same."""

    filename: str | None = Field(description="As the part of the request named it.")
    error: ErrorEntry


class BatchResponse(_Schema):
    """The answer for several images; ``results`` has one entry per file, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": _REQUEST_ID,
                    "model": "cifar10",
                    "version": 1,
                    "succeeded": 1,
                    "failed": 1,
                    "results": [
                        {
                            "filename": "a.png",
                            "predictions": [_PREDICTION],
                            "image": _IMAGE,
                            "timing": _TIMING,
                        },
                        {"filename": "b.txt", "error": _UNSUPPORTED},
                    ],
                }
            ]
        }
    )

    request_id: RequestId
    model: ModelName
    version: Version
    succeeded: int = Field(description="Entries with predictions.")
    failed: int = Field(description="Entries with an error.")
    results: list[BatchSuccess | BatchFailure]


class VersionSummary(_Schema):
    """One version of a model; what only its manifest says is null where that cannot be read."""

    version: Version
    state: ServableState = Field(description="Where it stands in its life.")
    since: datetime = Field(description="When it came into that state.")
    reason: str | None = Field(description="Why it FAILED.")
    architecture: str | None = Field(description="The network.", examples=["cifar10_cnn"])
    parameters: int | None = Field(description="Trained numbers of the network.")
    classes: list[str] | None = Field(description="Labels by class_id.")
    input: ManifestInput | None = Field(description="What the network takes.")
    metrics: dict[str, float] | None = Field(
        description="Measured when it was trained.", examples=[{"test_accuracy": 0.93}]
    )
    created_at: datetime | None = Field(description="When it was published.")
    engine: str | None = Field(
        description="What executes it, once loaded.", examples=["tensorflow"]
    )
    precision: str | None = Field(description="Its number format.", examples=["float32"])
    device: str | None = Field(description="Where it runs.", examples=["CPU"])


class CanarySummary(CanaryPlan):
    """Another version that answers a share of the requests which name none."""

    state: RolloutState = Field(description="Whether it does.")
    version: int | None = Field(description="The version that is tried.")
    reason: str | None = Field(description="Why it waits, or why it has ended.")
    requests: int | None = Field(
        description="Its last requests, 500 at most; null unless it is ACTIVE."
    )
    error_rate: float | None = Field(description="Share of them that failed, 0..1.")
    p95_ms: float | None = Field(
        description="Of those with one image that were answered: queue and execution."
    )
    stable_p95_ms: float | None = Field(description="The same of the default version.")


class ShadowSummary(ShadowPlan):
    """Another version that classifies a share of the images once more, for comparison."""

    state: RolloutState = Field(description="Whether it does.")
    version: int | None = Field(description="The version that is compared.")
    reason: str | None = Field(description="Why it waits.")
    compared: int = Field(description="Images that both versions classified.")
    agreement: float | None = Field(description="Share of them with the same first label, 0..1.")
    mean_score_difference: float | None = Field(
        description="Absolute difference of the first scores."
    )


class ModelSummary(_Schema):
    """One model with its versions."""

    name: ModelName
    default_version: int | None = Field(
        description="Answers where a request names no version; null while none is AVAILABLE."
    )
    labels: dict[str, int] = Field(
        description="Names of versions, for `label`.", examples=[{"stable": 1}]
    )
    versions: list[VersionSummary] = Field(description="Newest first.")
    is_pinned: bool = Field(
        description="Whether `stable` was set; else the newest version takes over by itself."
    )
    canary: CanarySummary | None = Field(description="Null where none was asked for.")
    shadow: ShadowSummary | None = Field(description="Null where none was asked for.")


class ModelsResponse(_Schema):
    """All models."""

    default: str = Field(
        description="Answers where a request names no model.", examples=["cifar10"]
    )
    models: list[ModelSummary]


class TensorFlowServingStatus(_Schema):
    """Code and text of a version's error, as TensorFlow Serving gives them."""

    error_code: str = Field(examples=["OK"])
    error_message: str = Field(examples=[""])


class TensorFlowServingVersionStatus(_Schema):
    """State of one version, as TensorFlow Serving gives it."""

    version: str = Field(examples=["1"])
    state: Literal["UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
    status: TensorFlowServingStatus


class ModelResponse(ModelSummary):
    """One model, with the same states once more in the words of TensorFlow Serving."""

    model_version_status: list[TensorFlowServingVersionStatus] = Field(
        description="As TensorFlow Serving answers on this path."
    )


class VersionResponse(VersionSummary):
    """One version with its whole manifest."""

    model: ModelName
    manifest: Manifest | None = Field(description="`manifest.json` as published.")


class Liveness(_Schema):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Death(_Schema):
    """The process answers, and is of no use any more: it should be restarted."""

    status: Literal["dead"] = "dead"
    reasons: list[str] = Field(
        examples=[["cifar10:1: the device thread ended; restarts of its engine have not helped"]]
    )


class Readiness(_Schema):
    """Every required model can answer."""

    status: Literal["ready"] = "ready"


class Unreadiness(_Schema):
    """Traffic should go elsewhere."""

    status: Literal["unready"] = "unready"
    reasons: list[str] = Field(examples=[["cifar10: WARMING"]])


class OpenInferenceLive(_Schema):
    """Liveness in the words of the Open Inference Protocol."""

    live: bool


class OpenInferenceReady(_Schema):
    """Readiness in the words of the Open Inference Protocol."""

    ready: bool


@dataclass(slots=True, kw_only=True)
class Problem:
    """Why a request failed (RFC 9457)."""

    type: Annotated[str, Field(description="Always about:blank: see `code`.")] = "about:blank"
    title: Annotated[str, Field(description="The status in words.")]
    status: Annotated[int, Field(description="HTTP status.")]
    code: Annotated[str, Field(description="Machine-readable kind of the error.")]
    detail: Annotated[
        str, Field(description="What is wrong, with the value, the limit and its setting.")
    ]
    request_id: RequestId
