"""``keraserve-train run``: from a configuration to a published version."""

from __future__ import annotations

import argparse
import logging
import shlex
from pathlib import Path
from typing import Any

from app.artifacts.manifest import Manifest, read_manifest
from training.commands import INTERRUPTED, OK, PROGRAM
from training.commands.lookup import add_models_dir
from training.commands.messages import fail
from training.commands.places import require_writable
from training.commands.quiet import import_tensorflow
from training.commands.version_texts import drift_gaps
from training.config import RunConfig
from training.config_file import built_in_names, load_config
from training.data.loading import load_dataset
from training.data.public import INPUT_SPECS
from training.fitting.run_directory import RunDirectory
from training.publishing.gate import GateError, describe_failures

logger = logging.getLogger(__name__)

_DESCRIPTION = """\
Trains an image classifier as a configuration says, judges it by images that it has not learnt from,
and publishes it as a new version that `keraserve serve` can load.

A run that was stopped goes on from its last finished epoch when the same command is given again.
A run whose epochs are all done is evaluated and published without training. After publishing, the
same command trains anew and publishes the next version.
"""

_EXIT_CODES = """\
exit codes:
  0    published
  2    wrong arguments, configuration or data set
  3    trained, but refused by the gate; nothing is published, the state is kept
  130  stopped with Ctrl-C; the same command goes on
"""


def add_parser(commands: Any) -> None:
    """Add ``run`` to the subcommands."""
    names = ", ".join(built_in_names())
    parser = commands.add_parser(
        "run",
        help="train, evaluate and publish one configuration",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # the hint after Ctrl-C drops --fresh, and has to find it
    )
    parser.set_defaults(handle=handle)
    parser.add_argument("config", metavar="CONFIG", help=f"a TOML file, or one of: {names}")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting of the configuration, for example fit.epochs=5; may be repeated",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="the images: a folder with a folder for each class, an archive or folder of PNG "
        "files as of CIFAR-10, a folder of IDX files as of Fashion-MNIST, or an .npz file. "
        "Without it keras.datasets downloads the public sets",
    )
    parser.add_argument(
        "--runs-dir",
        type=Path,
        default=Path("data/runs"),
        metavar="DIR",
        help="where unfinished runs keep their state (default: %(default)s)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="publish even if an accuracy is below what the [gate] section asks for; "
        "the manifest says so",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="drop the state of an unfinished run and start anew"
    )
    add_models_dir(parser)


def handle(arguments: argparse.Namespace) -> int:
    """Train what is left to train, and publish.

    Raises:
        ConfigError: The configuration cannot be used.
        DataError: The images cannot be used.
        RunInUseError: Another process works on the same run.
        GateError: The training diverged, or its result is not good enough.
    """
    config = load_config(arguments.config, arguments.set)
    run = RunDirectory(arguments.runs_dir / f"{config.name}-{config.fingerprint}")
    try:
        with run.locked():
            folder = _train_and_publish(arguments, config, run)
    except KeyboardInterrupt:
        words = (word for word in arguments.words if word != "--fresh")
        done = f"{len(run.history())} of {config.fit.epochs} epochs are done"
        return fail(f"stopped; {done}, to go on: {shlex.join([PROGRAM, *words])}", INTERRUPTED)
    manifest = read_manifest(folder)
    for line in drift_gaps(manifest.statistics):
        print(line)
    print(_summary(folder, manifest, arguments.models_dir))
    return OK


def _train_and_publish(arguments: argparse.Namespace, config: RunConfig, run: RunDirectory) -> Path:
    import_tensorflow()
    from training.architectures import check_architecture
    from training.fitting.callbacks import TrainingDivergedError
    from training.publishing.provenance import repeatable_command
    from training.publishing.teacher import load_teacher
    from training.run import RunOptions, execute_run

    spec = config.data.input.spec if config.data.input else INPUT_SPECS[config.data.dataset]
    check_architecture(config.architecture, spec.shape)
    dataset = load_dataset(config.data, arguments.data, seed=config.fit.seed)
    require_writable(arguments.models_dir)
    teacher = load_teacher(config, dataset, arguments.models_dir)
    published = run.published_version()
    if published is not None:
        logger.info("the last run is published, training anew", extra={"version": published})
    if published is not None or arguments.fresh:
        run.clear()
    options = RunOptions(
        models_dir=arguments.models_dir,
        command=repeatable_command(
            arguments.config, arguments.set, with_data=arguments.data is not None
        ),
        force=arguments.force,
    )
    try:
        return execute_run(config, dataset, run, options, teacher)
    except TrainingDivergedError as error:
        raise GateError(str(error)) from error


def _summary(folder: Path, manifest: Manifest, models_dir: Path) -> str:
    failures = describe_failures(manifest.gate.checks)
    error = manifest.metrics["test_expected_calibration_error"]
    serve = ["keraserve", "serve", "--default-model", manifest.name]
    if models_dir != Path("models"):
        serve += ["--model-dir", str(models_dir)]
    return (
        f"published {folder}: test accuracy {manifest.metrics['test_accuracy']:.4f}, "
        f"calibration error {error:.4f}{f', forced ({failures})' if failures else ''}; "
        f"see {folder / 'report' / 'report.html'}; to serve it: {shlex.join(serve)}"
    )
