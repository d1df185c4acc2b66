"""The client's methods for labelled samples, against the real routes."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from app.client import (
    AsyncClient,
    InvalidRequestError,
    SampleNotFoundError,
    SamplesUnavailableError,
)
from tests.api.samples_world import labelled, serving_samples


async def test_samples_are_listed_shown_classified_and_told(tmp_path: Path) -> None:
    samples = labelled(7)
    async with serving_samples(tmp_path, samples) as world:
        transport = httpx.ASGITransport(world.app)
        async with AsyncClient("http://test", transport=transport) as client:
            found = await client.samples("cifar10", limit=1, offset=1, label="cat")
            assert (found.count, found.samples[0].index, found.samples[0].class_id) == (3, 3, 0)
            image = Image.open(io.BytesIO(await client.sample_image("cifar10", 3)))
            assert np.array_equal(np.asarray(image), samples.images[3])
            assert (await client.real("cifar10", 4)).label == "dog"
            answer = await client.predict_sample("cifar10", 3, top_k=1, version=1, priority="bulk")
            assert (answer.actual.label, len(answer.predictions)) == ("cat", 1)
            assert answer.correct == (answer.predictions[0].label == "cat")
            with pytest.raises(SampleNotFoundError):
                await client.real("cifar10", 7)
            with pytest.raises(InvalidRequestError):
                await client.samples("cifar10", limit=0)


async def test_model_without_samples_is_told(tmp_path: Path) -> None:
    async with serving_samples(tmp_path) as world:
        transport = httpx.ASGITransport(world.app)
        async with AsyncClient("http://test", transport=transport) as client:
            with pytest.raises(SamplesUnavailableError, match="make samples"):
                await client.samples("cifar10")
