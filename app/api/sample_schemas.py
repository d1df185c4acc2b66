"""The JSON that the routes of the samples answer with, described for OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.api.schemas import ClassifyResponse

_ACTUAL: JsonDict = {"label": "cat", "class_id": 3}
_SAMPLE: JsonDict = {"index": 0, **_ACTUAL}

SampleLabel = Annotated[str, Field(description="Name of the class that the data set gives it.")]
ClassId = Annotated[int, Field(description="Position of that class in the model's list, from 0.")]


@dataclass(slots=True)
class SampleEntry:
    """One sample: the class that the data set gives it."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [_SAMPLE]})

    index: Annotated[
        int, Field(description="Its place in the data set, from 0, whatever was asked for.")
    ]
    label: SampleLabel
    class_id: ClassId


class SamplesResponse(BaseModel):
    """Samples of a model, in the order of the data set."""

    count: int = Field(
        description="Samples that there are in all: of `label`, where one was given.",
        examples=[10000],
    )
    samples: list[SampleEntry] = Field(description="Those from `offset` on, `limit` at most.")


@dataclass(slots=True)
class ActualEntry:
    """The class that the data set gives a sample."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [_ACTUAL]})

    label: SampleLabel
    class_id: ClassId


@dataclass(slots=True)
class SamplePredictResponse(ClassifyResponse):
    """The answer for one sample: that of its image, and whether it is right."""

    actual: ActualEntry
    correct: Annotated[
        bool, Field(description="Whether the first prediction has the label of `actual`.")
    ]
