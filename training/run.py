"""One run from its configuration to a published version."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from app.artifacts.samples import Samples
from training.config import RunConfig
from training.data import Dataset
from training.evaluate import evaluate, probabilities
from training.export import (
    Export,
    executable,
    float32_network,
    non_finite_weights,
    publish,
    round_trip_deviation,
)
from training.gate import judge
from training.provenance import training_record
from training.reports import Examples, Report
from training.run_directory import RunDirectory, replace_file
from training.samples import choose_samples, example_rows
from training.train import TrainedNetwork, fit

logger = logging.getLogger(__name__)

EXAMPLES_PER_CLASS = 6
"""In the report's picture of predictions: ten classes fit on a page."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run is told beside its configuration.

    Attributes:
        models_dir: The store to publish in.
        command: How a stranger repeats the run; for the record.
        force: Publish below the accuracy that the configuration asks for.
        verbose: As in ``keras.Model.fit``.
    """

    models_dir: Path
    command: str
    force: bool = False
    verbose: int = 2


def execute_run(
    config: RunConfig, dataset: Dataset, run: RunDirectory, options: RunOptions
) -> Path:
    """Train what is left to train, evaluate, pass the gate, publish; return the version's folder.

    Everything before publishing can be repeated: a run that is stopped, or that the gate refuses,
    keeps its checkpoint, and the next call goes on from there.

    Raises:
        GateError: The network is not good enough, or damaged.
        DataError: The run was begun with another data set.
    """
    run.begin(dataset.fingerprint)
    trained = fit(config, dataset, run.path, verbose=options.verbose)
    logger.info("evaluating", extra={"images": len(dataset.test)})
    export = _export(config, dataset, run, trained, options)
    folder = publish(export, config, dataset, options.models_dir)
    run.end(int(folder.name))
    return folder


def _export(
    config: RunConfig,
    dataset: Dataset,
    run: RunDirectory,
    trained: TrainedNetwork,
    options: RunOptions,
) -> Export:
    network = float32_network(trained.model, config, dataset)
    execute = executable(network)
    test_scores = probabilities(execute, dataset.test.images)
    evaluation = evaluate(test_scores, dataset.test.labels, dataset.classes)
    images, labels = choose_samples(config.publish, dataset)
    sample_scores = probabilities(execute, images)
    replace_file(run.export, network.save)
    gate = judge(
        non_finite_weights=non_finite_weights(network),
        test_accuracy=evaluation.accuracy,
        min_test_accuracy=config.gate.min_test_accuracy,
        round_trip_deviation=round_trip_deviation(run.export, images, sample_scores),
        force=options.force,
    )
    examples = None
    if config.publish.samples == "labelled":
        rows = example_rows(dataset.test, EXAMPLES_PER_CLASS)
        examples = Examples(dataset.test.images[rows], dataset.test.labels[rows], test_scores[rows])
    return Export(
        model_path=run.export,
        parameters=int(network.count_params()),
        samples=Samples(images, sample_scores, labels),
        gate=gate,
        training=training_record(config, dataset, trained, options.command),
        metrics={**evaluation.metrics, "train_accuracy": trained.history[-1]["accuracy"]},
        report=Report(evaluation, trained.history, examples),
    )
