"""``keraserve-train evaluate`` on a tiny published version with a temperature of its own."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.artifacts.checksums import folder_records, verify_files
from app.artifacts.layout import MODEL, REPORT
from app.artifacts.manifest import Calibration, ManifestInput, TrainingRecord, read_manifest
from app.artifacts.publish import write_manifest
from tests.factories.datasets import CLASSES, write_png_folder
from tests.factories.versions import make_manifest, write_content
from training.cli import main
from training.config import RunConfig
from training.data.dataset import Dataset
from training.data.loading import load_dataset
from training.evaluation.calibration import apply_temperature
from training.evaluation.evaluate import evaluate, probabilities
from training.keras_networks import executable

pytestmark = pytest.mark.keras

SIDE = 8
TEMPERATURE = 1.7
HISTORY = [
    {"epoch": 1.0, "loss": 0.5, "accuracy": 0.8, "learning_rate": 1e-3, "duration_s": 2.0},
]


def make_config(samples: str) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "shapes",
            "data": {"dataset": "images", "input": {"height": SIDE, "width": SIDE, "channels": 3}},
            "architecture": {"name": "fashion_mnist_cnn"},
            "fit": {"epochs": 1, "seed": 5},
            "publish": {"samples": samples},
        }
    )


def publish_tiny(models_dir: Path, dataset: Dataset, *, samples: str) -> Path:
    """Fit one dense layer to the images, and publish it as ``shapes:1``."""
    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(len(CLASSES), activation="softmax"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(dataset.train.images, dataset.train.labels, epochs=20, verbose=0)
    config = make_config(samples)
    manifest = make_manifest(
        "shapes",
        classes=dataset.classes,
        input=ManifestInput(height=SIDE, width=SIDE, channels=3),
        calibration=Calibration(temperature=TEMPERATURE, method="temperature_scaling"),
        training=TrainingRecord(
            dataset="images",
            dataset_fingerprint=dataset.fingerprint,
            command="keraserve-train run shapes.toml --data PATH",
            config=config.model_dump(mode="json", exclude_none=True),
            seed=config.fit.seed,
            duration_s=1.0,
            hardware="another machine",
            libraries={},
        ),
    )
    folder = models_dir / "shapes" / "1"
    write_content(folder, manifest)
    network.save(folder / MODEL)
    (folder / REPORT / "metrics.json").write_text(json.dumps({"history": HISTORY}))
    write_manifest(folder, manifest.model_copy(update={"files": folder_records(folder)}))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    return write_png_folder(folder, train=150, test=60, side=SIDE, rgb=True)


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    config = make_config("labelled")
    return load_dataset(config.data, data, seed=config.fit.seed)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    return publish_tiny(tmp_path_factory.mktemp("labelled"), dataset, samples="labelled")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    return publish_tiny(tmp_path_factory.mktemp("generated"), dataset, samples="generated")


def command(version: Path, data: Path, output: Path, *more: str) -> list[str]:
    store = str(version.parents[1])
    words = ["evaluate", "shapes", "--models-dir", store, "--data", str(data)]
    return [*words, "--output", str(output), *more]


@dataclass(frozen=True)
class Evaluated:
    output: Path
    printed: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.output / "metrics.json").read_text())
        return document


@pytest.fixture(scope="module")
def evaluated(labelled: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """One evaluation that many tests look at."""
    output = tmp_path_factory.mktemp("evaluated") / "out"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(command(labelled, data, output)) == 0
    return Evaluated(output, printed.getvalue())


def test_evaluation_reports_the_figures_as_served_and_without_the_temperature(
    labelled: Path, dataset: Dataset, evaluated: Evaluated
) -> None:
    network = keras.saving.load_model(labelled / MODEL, compile=False)
    raw = probabilities(executable(network), dataset.test.images)
    served = evaluate(apply_temperature(raw, TEMPERATURE), dataset.test.labels, dataset.classes)
    plain = evaluate(raw, dataset.test.labels, dataset.classes)
    metrics = evaluated.document["metrics"]
    assert evaluated.document["calibration"]["temperature"] == TEMPERATURE
    assert metrics["test_accuracy"] == served.accuracy
    assert metrics["test_loss"] == pytest.approx(served.loss, rel=1e-4)
    assert metrics["test_expected_calibration_error"] == pytest.approx(
        served.expected_calibration_error, abs=1e-4
    )
    assert metrics["test_expected_calibration_error_unscaled"] == pytest.approx(
        plain.expected_calibration_error, abs=1e-4
    )
    assert not np.isclose(served.expected_calibration_error, plain.expected_calibration_error)


def test_evaluation_prints_the_table_and_where_the_report_is(evaluated: Evaluated) -> None:
    printed = evaluated.printed

    assert re.search(r"precision +recall +f1-score +support", printed)
    assert all(name in printed for name in CLASSES)
    assert re.search(r"calibration error +0\.\d{4} as served at temperature 1\.7, 0\.\d", printed)
    assert re.search(r"JPEG compression +[01]\.\d{4} +[01]\.\d{4} +[01]\.\d{4}", printed)
    assert "top-5" not in printed
    assert printed.rstrip().endswith(f"see {evaluated.output / 'report.html'}")


@pytest.mark.usefixtures("evaluated")
def test_evaluation_leaves_the_version_as_it_was(labelled: Path) -> None:
    verify_files(labelled, read_manifest(labelled))


def test_report_of_an_evaluation_has_the_curves_of_the_training_and_this_machine(
    evaluated: Evaluated,
) -> None:
    assert evaluated.document["history"] == HISTORY
    assert evaluated.document["speed"]["hardware"] != "another machine"
    assert (evaluated.output / "training_curves.png").is_file()
    assert (evaluated.output / "sample_predictions.png").is_file()


def test_pictures_of_a_version_without_data_are_shown_only_when_asked_for(
    generated: Path, data: Path, tmp_path: Path
) -> None:
    main(command(generated, data, tmp_path / "without"))
    main(command(generated, data, tmp_path / "with", "--pictures"))

    assert not (tmp_path / "without" / "sample_predictions.png").exists()
    assert not (tmp_path / "without" / "mistakes.png").exists()
    assert (tmp_path / "with" / "sample_predictions.png").is_file()


def test_other_data_is_refused_and_taken_only_with_a_warning(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_png_folder(tmp_path / "other", train=90, test=30, side=SIDE, rgb=True)

    assert main(command(labelled, other, tmp_path / "out")) == 2
    refusal = capsys.readouterr().err
    assert "was trained on sha256:" in refusal
    assert "--other-data" in refusal
    assert not (tmp_path / "out").exists()

    assert main(command(labelled, other, tmp_path / "out", "--other-data")) == 0
    assert "warning: this data set is sha256:" in capsys.readouterr().err
    assert "Other data: this data set is" in (tmp_path / "out" / "report.html").read_text()


def test_data_with_other_classes_is_refused_in_any_case(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_png_folder(tmp_path / "other", train=90, test=30, side=SIDE, rgb=True)
    (other / "labels.txt").write_text("dot\ncolumn\nbar\n")

    assert main(command(labelled, other, tmp_path / "out", "--other-data")) == 2
    assert "the data set has the classes dot, column, bar" in capsys.readouterr().err
