"""``keraserve-train import`` from a file to a version that the service serves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from app.artifacts.manifest import read_manifest
from app.artifacts.samples import read_samples
from app.imaging.encoder import encode_png
from app.lifecycle import Lifecycle
from app.main import create_app
from app.settings import Settings
from tests.factories.datasets import write_class_folders
from tests.keras.training.foreign_networks import (
    KINDS,
    LABELS,
    MEAN,
    PREPROCESSING,
    SIDE,
    as_of_keras_2,
    command,
    expected_scores,
    make_network,
    refusal,
    save,
    write_labels,
)
from training.cli import main
from training.config import DataConfig, InputConfig
from training.data.loading import load_dataset

pytestmark = [pytest.mark.keras]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_labels(tmp_path)
    return tmp_path


# ---- served ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=KINDS)
def version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network, imported from each kind of file."""
    place, kind = tmp_path_factory.mktemp("import"), request.param
    write_labels(place)
    source = save(make_network(), place, kind)
    if kind == "h5":
        as_of_keras_2(source)
    assert main(command(place, source, *PREPROCESSING)) == 0
    return place / "models" / "theirs" / "1"


@pytest.fixture(params=["tensorflow", "openvino"])
async def client(version: Path, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        model_dir=version.parents[1],
        engine=request.param,
        precision="float32",
        allowed_batch_sizes=(1, 4),
        max_batch_size=4,
    )
    app = create_app(settings)
    lifecycle: Lifecycle = app.state.lifecycle
    async with app.router.lifespan_context(app):
        await lifecycle.loaded()
        assert lifecycle.unready_reasons() == []
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as made:
            yield made


@pytest.mark.anyio
async def test_imported_network_answers_through_http_as_before_the_import(
    client: httpx.AsyncClient,
) -> None:
    images = np.random.default_rng(2).integers(0, 256, (3, *SIDE, 3), dtype=np.uint8)
    for image, expected in zip(images, expected_scores(make_network(), images), strict=True):
        answer = await client.post(
            "/v1/classify",
            params={"model": "theirs", "top_k": "3"},
            files={"file": encode_png(image)},
        )
        found = {entry["label"]: entry["score"] for entry in answer.json()["predictions"]}
        assert [found[label] for label in LABELS] == pytest.approx(expected.tolist(), abs=1e-5)


def test_manifest_says_what_was_imported_and_no_path_of_this_machine(version: Path) -> None:
    manifest = read_manifest(version)

    assert manifest.network_file in manifest.files
    assert manifest.parameters == make_network().count_params()
    assert manifest.classes == LABELS
    record = manifest.training
    kind = record.config["import"]["source_format"]
    assert manifest.format == ("saved_model" if kind == "saved_model" else "keras")
    assert (record.dataset, record.seed, record.duration_s) == ("imported", 0, 0)
    assert record.dataset_fingerprint.startswith("sha256:")
    assert record.config["import"]["mean"] == list(MEAN)
    assert record.command.startswith("keraserve-train import theirs")
    assert str(version.parents[2]) not in (version / "manifest.json").read_text()


def test_imported_version_is_evaluated_on_labelled_images_of_its_classes(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = write_class_folders(tmp_path / "pictures", parts={"train": 8, "test": 6}, size=16)
    words = ["evaluate", str(version), "--data", str(pictures), "--output", str(tmp_path / "out")]

    assert main(words) == 0

    assert "theirs:1, 18 test images" in capsys.readouterr().out
    spec = read_manifest(version).input.spec
    wanted = DataConfig(dataset="images", input=InputConfig(height=spec.height, width=spec.width))
    test = load_dataset(wanted, pictures, seed=0).test
    scores = expected_scores(make_network(), test.images)
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    accuracy = float(np.mean(scores.argmax(axis=1) == test.labels))
    assert document["metrics"]["test_accuracy"] == pytest.approx(accuracy)
    assert "Imported: nothing is known" in (tmp_path / "out" / "report.html").read_text()


def test_samples_are_generated_where_none_are_given(version: Path) -> None:
    samples = read_samples(version / "samples.npz")

    assert samples.labels is None
    assert read_manifest(version).statistics is None, "generated pictures describe nothing"
    np.testing.assert_allclose(
        samples.probabilities, expected_scores(make_network(), samples.images), atol=1e-5
    )


def test_published_saved_model_is_one_that_tensorflow_reads(version: Path) -> None:
    if read_manifest(version).format == "keras":
        assert not (version / "saved_model").exists()
        return
    images = read_samples(version / "samples.npz").images[:4]

    loaded = tf.saved_model.load(str(version / "saved_model"))
    scores = loaded.signatures["serving_default"](tf.constant(images))["scores"].numpy()

    np.testing.assert_allclose(scores, expected_scores(make_network(), images), atol=1e-5)


# ---- options --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_logits_need_to_be_told_and_get_a_softmax(
    kind: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = make_network(activation=None)
    source = save(network, place, kind)

    assert "no probabilities: they reach from" in (line := refusal(command(place, source), capsys))
    assert line.endswith("say --logits")

    assert main(command(place, source, "--logits", *PREPROCESSING)) == 0

    (folder,) = (place / "models" / "theirs").glob("[0-9]*")
    samples = read_samples(folder / "samples.npz")
    logits = expected_scores(network, samples.images).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(samples.probabilities, expected, atol=1e-5)


def test_labelled_samples_measure_the_accuracy_which_the_gate_judges(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = write_class_folders(place / "pictures", parts={"": 4}, size=16)
    network = make_network()
    network.layers[-1].bias.assign([0.0, 0.0, 50.0])  # says stripes to everything
    words = command(place, save(network, place, "keras"), "--samples", str(pictures))

    line = refusal(words, capsys, code=3)
    assert "accuracy 0.3333 on the samples is below 0.7" in line
    assert line.endswith("--force publishes it all the same")

    assert main([*words, "--force"]) == 0

    assert "accuracy on the samples 0.3333, forced" in capsys.readouterr().out
    (folder,) = (place / "models" / "theirs").glob("[0-9]*")
    manifest = read_manifest(folder)
    assert manifest.metrics == {"sample_accuracy": pytest.approx(1 / 3)}
    assert (manifest.gate.passed, manifest.gate.forced) == (False, True)
    labels = read_samples(folder / "samples.npz").labels
    assert labels is not None
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert manifest.training.command.endswith("--force --samples PATH")


def test_import_is_described_by_the_samples_in_their_own_mix_of_classes(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1,080 of one class and 120 of two others: the self-test takes as many of each as it can."""
    counts = (1080, 60, 60)
    pictures = place / "pictures"
    for level, (label, count) in enumerate(zip(LABELS, counts, strict=True), start=1):
        (pictures / label).mkdir(parents=True)
        for number in range(count):
            picture = encode_png(np.full((*SIDE, 3), 60 * level, np.uint8))
            (pictures / label / f"{number:04}.png").write_bytes(picture)
    source = save(make_network(), place, "keras")

    assert main(command(place, source, "--samples", str(pictures), "--force")) == 0

    folder = place / "models" / "theirs" / "1"
    statistics = read_manifest(folder).statistics
    assert statistics is not None
    assert (statistics.source, statistics.images, statistics.held_out.images) == (
        "samples", 1200, 1200
    )  # fmt: skip
    assert statistics.class_shares == pytest.approx((0.9, 0.05, 0.05))
    assert statistics.channel_means == pytest.approx((60 * 0.9 + 120 * 0.05 + 180 * 0.05,) * 3)
    samples = read_samples(folder / "samples.npz")
    assert samples.labels is not None
    assert np.bincount(samples.labels).tolist() == [880, 60, 60]
    assert "no drift index" not in capsys.readouterr().out


def test_import_says_what_drift_will_never_be_measured_by(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = write_class_folders(place / "pictures", parts={"": 4}, size=16)
    source = save(make_network(), place, "keras")

    assert main(command(place, source, *PREPROCESSING)) == 0
    assert "no drift index: there are no labelled images" in capsys.readouterr().out

    assert main(command(place, source, "--samples", str(pictures), "--force")) == 0
    assert (
        "no drift index of classes (12 of 200 images), confidence (12 of 200 images), red (12"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_network_of_any_size_needs_one(
    kind: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(make_network(shape=(None, None, 1)), place, kind)

    assert "by --input-size HEIGHTxWIDTH" in refusal(command(place, source), capsys)
    assert main(command(place, source, "--input-size", "9x8", "--resize", "crop")) == 0
    (folder,) = (place / "models" / "theirs").glob("[0-9]*")
    network_input = read_manifest(folder).input
    assert (network_input.spec.shape, network_input.resize) == ((9, 8, 1), "crop")


def grey_without_an_axis() -> keras.Model:
    return keras.Sequential([keras.Input((6, 7)), layers.Flatten(), layers.Dense(3, "softmax")])


def uint8_with_its_own_scaling() -> keras.Model:
    image = keras.Input((*SIDE, 1), dtype="uint8")
    x = layers.Flatten()(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, layers.Dense(3, "softmax")(x))


@pytest.mark.parametrize("make", [grey_without_an_axis, uint8_with_its_own_scaling])
def test_other_inputs_are_served_as_they_are(make: Callable[[], keras.Model], place: Path) -> None:
    network = make()

    assert main(command(place, save(network, place, "keras"))) == 0

    samples = read_samples(place / "models" / "theirs" / "1" / "samples.npz")
    images = samples.images[..., 0] if len(network.input_shape) == 3 else samples.images
    np.testing.assert_allclose(
        samples.probabilities, network(images, training=False).numpy(), atol=1e-5
    )


def test_preprocessing_of_a_network_that_takes_uint8_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("keras", "saved_model"):
        source = save(uint8_with_its_own_scaling(), place, kind)
        line = refusal(command(place, source, "--scale", "0.5"), capsys)
        assert "takes uint8 and does its own preprocessing" in line
