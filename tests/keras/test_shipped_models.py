"""The versions that the repository carries, through the real engine and the real API."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.artifacts.layout import MODEL
from app.artifacts.manifest import read_manifest
from app.imaging.encoder import encode_png
from app.lifecycle import Lifecycle
from app.main import create_app
from app.runtime.keras_file import load_model
from app.settings import Settings
from app.types import ImageArray, ScoreArray
from training.evaluation.calibration import apply_temperature
from training.evaluation.evaluate import probabilities
from training.evaluation.reports import PICTURES
from training.keras_networks import executable

pytestmark = [pytest.mark.keras, pytest.mark.anyio]

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
NAMES = ("cifar10", "fashion_mnist")
# The score of an image through training's evaluation and through HTTP, alone or in any batch.
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=["tensorflow", "openvino"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        model_dir=MODELS,
        engine=request.param,
        precision="float32",
        allowed_batch_sizes=(1, 2, 8),
        max_batch_size=8,
    )
    app = create_app(settings)
    lifecycle: Lifecycle = app.state.lifecycle
    async with app.router.lifespan_context(app):
        await lifecycle.loaded()
        assert lifecycle.unready_reasons() == []
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as made:
            yield made


def pictures(name: str, count: int) -> ImageArray:
    """Smooth colour gradients and noise, all different."""
    spec = read_manifest(newest(name)).input.spec
    random = np.random.default_rng(5)
    steps = np.linspace(0, 1, spec.height)[:, None, None]
    gradients = random.integers(0, 256, (count, 1, 1, spec.channels)) * steps
    noise = random.integers(0, 64, (count, *spec.shape))
    return np.clip(gradients + noise, 0, 255).astype(np.uint8)


def newest(name: str) -> Path:
    return max((MODELS / name).glob("[0-9]*"), key=lambda folder: int(folder.name))


def by_training(name: str, images: ImageArray) -> ScoreArray:
    folder = newest(name)
    scores = probabilities(executable(load_model(folder / MODEL)), images)
    return apply_temperature(scores, read_manifest(folder).calibration.temperature)


def scores(predictions: list[dict[str, float]]) -> list[float]:
    return [entry["score"] for entry in sorted(predictions, key=lambda entry: entry["class_id"])]


@pytest.mark.parametrize("name", NAMES)
async def test_image_scores_the_same_through_training_and_http_alone_and_in_a_batch(
    client: httpx.AsyncClient, name: str
) -> None:
    images = pictures(name, 7)
    expected = by_training(name, images)
    query = {"model": name, "top_k": "10"}
    files = [("files", (f"{n}.png", encode_png(image))) for n, image in enumerate(images)]
    together = await client.post("/v1/classify/batch", params=query, files=files)
    for row, image, entry in zip(expected, images, together.json()["results"], strict=True):
        alone = (
            await client.post("/v1/classify", params=query, files={"file": encode_png(image)})
        ).json()
        assert alone["predictions"][0]["class_id"] == int(row.argmax())
        assert entry["predictions"][0]["class_id"] == int(row.argmax())
        assert scores(alone["predictions"]) == pytest.approx(row.tolist(), abs=TOLERANCE)
        assert scores(entry["predictions"]) == pytest.approx(row.tolist(), abs=TOLERANCE)
        assert sum(scores(alone["predictions"])) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "picture", "label"),
    [("cifar10", "ship.png", "ship"), ("fashion_mnist", "sneaker.png", "Sneaker")],
)
async def test_drawn_picture_is_named_rightly(
    client: httpx.AsyncClient, name: str, picture: str, label: str
) -> None:
    content = (ROOT / "docs" / "images" / picture).read_bytes()
    answer = await client.post("/v1/classify", params={"model": name}, files={"file": content})
    assert answer.json()["predictions"][0]["label"] == label


@pytest.mark.parametrize(
    ("name", "parameters", "accuracy"),
    [("cifar10", 5_146_390, 0.90), ("fashion_mnist", 412_778, 0.93)],
)
def test_manifest_states_the_network_and_an_accuracy_that_is_good_enough(
    name: str, parameters: int, accuracy: float
) -> None:
    manifest = read_manifest(newest(name))
    assert manifest.parameters == parameters
    assert manifest.metrics["test_accuracy"] >= accuracy
    assert manifest.gate.passed
    assert not manifest.gate.forced


@pytest.mark.parametrize(
    ("name", "images", "held_out"), [("cifar10", 45_000, 5_000), ("fashion_mnist", 54_000, 6_000)]
)
def test_manifest_describes_the_images_that_the_network_learnt_from(
    name: str, images: int, held_out: int
) -> None:
    manifest = read_manifest(newest(name))  # refuses statistics of other classes or channels
    statistics = manifest.statistics

    assert statistics is not None
    assert (statistics.source, statistics.images) == ("training", images)
    assert statistics.held_out.images == held_out
    assert statistics.class_shares == pytest.approx([0.1] * len(manifest.classes))
    assert len(statistics.image_means) == manifest.input.channels
    # Calibrated on them, it is as sure of the images held out as it is right, and surer of others.
    accuracy = manifest.metrics["validation_accuracy"]
    assert statistics.held_out.mean_confidence == pytest.approx(accuracy, abs=0.015)
    assert statistics.mean_confidence > statistics.held_out.mean_confidence


@pytest.mark.parametrize("name", NAMES)
def test_version_carries_no_picture_of_a_data_set(name: str) -> None:
    folder = newest(name)
    with np.load(folder / "samples.npz", allow_pickle=False) as samples:
        assert "labels" not in samples.files, "generated samples have none"
    assert read_manifest(folder).training.config["publish"]["samples"] == "generated"
    plots = {path.name for path in (folder / "report").glob("*.png")}
    assert plots <= set(PICTURES)
    assert plots & {"mistakes.png", "sample_predictions.png"} == set()
    assert json.loads((folder / "report" / "metrics.json").read_text())
