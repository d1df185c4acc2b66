"""One run from its configuration to a published version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.artifacts.samples import Samples
from training.config import RunConfig
from training.data.dataset import Dataset
from training.evaluation.calibration import apply_temperature
from training.evaluation.evaluate import probabilities
from training.evaluation.reports import Report
from training.evaluation.study import study_network
from training.fitting.hardware import describe
from training.fitting.observers import observers
from training.fitting.run_directory import Origin, RunDirectory, replace_file
from training.fitting.teacher import Teacher
from training.fitting.train import TrainedNetwork, fit
from training.keras_networks import exact_arithmetic, executable, non_finite_weights
from training.publishing.export import (
    Export,
    float32_network,
    manifest_input,
    publish,
    round_trip_deviation,
)
from training.publishing.gate import Measured, judge, require_numbers
from training.publishing.predecessor import published_accuracy
from training.publishing.provenance import clean_commit, training_record
from training.publishing.samples import choose_samples


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run is told beside its configuration.

    Attributes:
        models_dir: The store to publish in.
        command: How a stranger repeats the run; for the record.
        force: Publish below the accuracies that the configuration asks for.
    """

    models_dir: Path
    command: str
    force: bool = False


def execute_run(
    config: RunConfig,
    dataset: Dataset,
    run: RunDirectory,
    options: RunOptions,
    teacher: Teacher | None = None,
) -> Path:
    """Train what is left to train, evaluate, pass the gate, publish; return the version's folder.

    Everything before publishing can be repeated: a run that is stopped, or that the gate refuses,
    keeps its checkpoint, and the next call goes on from there.

    Raises:
        GateError: The network is not good enough, or damaged.
        TrainingDivergedError: The loss became NaN or infinite.
        DataError: The run was begun with another data set, or another teacher.
    """
    origin = run.begin(
        Origin(
            dataset.fingerprint,
            clean_commit(Path(__file__).parent),
            describe(),
            None if teacher is None else teacher.sha256,
        )
    )
    watching = observers(run, config, dataset)
    trained = fit(config, dataset, run, observers=watching, teacher=teacher)
    with exact_arithmetic():
        export = _export(config, dataset, run, trained, origin, options)
    folder = publish(export, config, dataset, options.models_dir)
    run.end(int(folder.name))
    return folder


def _export(
    config: RunConfig,
    dataset: Dataset,
    run: RunDirectory,
    trained: TrainedNetwork,
    origin: Origin,
    options: RunOptions,
) -> Export:
    network = float32_network(trained.model, config, dataset)
    execute = executable(network)
    images, labels = choose_samples(config.publish, dataset)
    scores = probabilities(execute, images)
    require_numbers(non_finite_weights(network), scores)
    replace_file(run.export, network.save)
    study = study_network(execute, dataset, pictures=config.publish.samples == "labelled")
    measured = Measured(
        non_finite_weights=0,
        round_trip_deviation=round_trip_deviation(run.export, images, scores),
        train_accuracy=study.train_accuracy,
        validation_accuracy=study.validation_accuracy,
        test_accuracy=study.evaluation.accuracy,
        published_accuracy=published_accuracy(
            options.models_dir, config, dataset, manifest_input(dataset.spec)
        ),
    )
    return Export(
        model_path=run.export,
        parameters=int(network.count_params()),
        samples=Samples(images, apply_temperature(scores, study.temperature), labels),
        gate=judge(measured, config.gate, force=options.force),
        training=training_record(config, dataset, trained, origin, options.command),
        report=Report(study, trained.history),
    )
