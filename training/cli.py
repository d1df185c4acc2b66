"""``keraserve-train``: trains a configuration and publishes it, or lists what is published."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from app.artifacts.layout import MANIFEST
from app.artifacts.manifest import Manifest, read_manifest
from app.errors import ArtifactError
from training.config import BUILT_IN, ConfigError, RunConfig, load_config
from training.data import DataError, load_dataset
from training.gate import GateError
from training.run_directory import RunDirectory

OK, UNUSABLE_INPUT, GATE_FAILED = 0, 2, 3
"""Exit codes; 2 is what argparse uses for wrong arguments."""

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""

PROGRAM = "keraserve-train"

_DESCRIPTION = """\
Trains an image classifier as a configuration says, judges it by the test images, and publishes it
as a new version that `keraserve serve` can load.

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


class _ExtraFormatter(logging.Formatter):
    """Appends the fields of ``extra`` to the text, as ``name=value``."""

    _OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

    def format(self, record: logging.LogRecord) -> str:
        fields = [f"{key}={value}" for key, value in vars(record).items() if key not in self._OWN]
        return "  ".join([super().format(record), *fields])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    _set_up_logging()
    try:
        if arguments.command == "list":
            return _list(arguments.models_dir)
        code = _run(arguments, words)
        if code == INTERRUPTED and argv is None:
            # TensorFlow's threads may still be inside a step; tearing the interpreter down under
            # them aborts the process now and then. Everything worth keeping is on disk.
            sys.stderr.flush()
            os._exit(code)
        return code
    except (ConfigError, DataError, ArtifactError) as error:
        return _fail(str(error), UNUSABLE_INPUT)


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(sorted(path.stem for path in BUILT_IN.glob("*.toml")))
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # the hint after Ctrl-C drops --fresh, and has to find it
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="train, evaluate and publish one configuration",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # the hint after Ctrl-C drops --fresh, and has to find it
    )
    run.add_argument("config", metavar="CONFIG", help=f"a TOML file, or one of: {names}")
    run.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="local copy of the data set: for CIFAR-10 the archive or folder of PNG files "
        "(cifar.tgz), for Fashion-MNIST the folder of the four IDX files. "
        "Without it the set is downloaded by keras.datasets",
    )
    run.add_argument(
        "--runs-dir",
        type=Path,
        default=Path("data/runs"),
        metavar="DIR",
        help="where unfinished runs keep their state (default: %(default)s)",
    )
    run.add_argument(
        "--force",
        action="store_true",
        help="publish even if the test accuracy is below gate.min_test_accuracy; "
        "the manifest says so",
    )
    run.add_argument(
        "--fresh", action="store_true", help="drop the state of an unfinished run and start anew"
    )
    listing = commands.add_parser("list", help="list the published versions")
    for command in (run, listing):
        command.add_argument(
            "--models-dir",
            type=Path,
            default=Path("models"),
            metavar="DIR",
            help="the store of published versions (default: %(default)s)",
        )
    return parser


def _run(arguments: argparse.Namespace, words: list[str]) -> int:
    config = load_config(arguments.config)
    run = RunDirectory(arguments.runs_dir / f"{config.name}-{config.fingerprint}")
    try:
        folder = _train_and_publish(arguments, config, run)
    except GateError as error:
        return _fail(f"not published: {error}", GATE_FAILED)
    except KeyboardInterrupt:
        again = shlex.join([PROGRAM, *(word for word in words if word != "--fresh")])
        done = f"{run.epochs_done()} of {config.fit.epochs} epochs are done"
        return _fail(f"stopped; {done}, to go on: {again}", INTERRUPTED)
    manifest = read_manifest(folder)
    print(
        f"published {folder}: test accuracy {manifest.metrics['test_accuracy']:.4f} "
        f"(gate {config.gate.min_test_accuracy:g}{', forced' if manifest.gate.forced else ''}); "
        f"see {folder / 'report' / 'report.html'}"
    )
    return OK


def _train_and_publish(arguments: argparse.Namespace, config: RunConfig, run: RunDirectory) -> Path:
    # TensorFlow looks at this when it is imported: 2 leaves errors, and drops a page of notes on
    # CPU instructions and missing CUDA libraries.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from training.architectures import check_architecture
    from training.provenance import repeatable_command
    from training.run import RunOptions, execute_run

    check_architecture(config.architecture)
    spec = config.data.input.spec if config.data.input else None
    dataset = load_dataset(config.data.dataset, arguments.data, spec)
    published = run.published_version()
    if published is not None:
        logging.getLogger(__name__).info(
            "the last run is published, training anew", extra={"version": published}
        )
    if published is not None or arguments.fresh:
        run.clear()
    options = RunOptions(
        models_dir=arguments.models_dir,
        command=repeatable_command(arguments.config, with_data=arguments.data is not None),
        force=arguments.force,
        verbose=1 if sys.stdout.isatty() else 2,  # bars on a terminal, a line per epoch in a log
    )
    return execute_run(config, dataset, run, options)


def _list(models_dir: Path) -> int:
    rows = [("MODEL", "VERSION", "TEST ACCURACY", "CREATED")]
    folders = [path.parent for path in models_dir.glob(f"*/[0-9]*/{MANIFEST}")]
    for folder in sorted(folders, key=lambda path: (path.parent.name, int(path.name))):
        try:
            rows.append(_row(read_manifest(folder)))
        except ArtifactError as error:
            rows.append((folder.parent.name, folder.name, "unreadable", str(error)))
    if len(rows) == 1:
        print(f"no published versions in {models_dir}")
        return OK
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    return OK


def _row(manifest: Manifest) -> tuple[str, str, str, str]:
    accuracy = manifest.metrics.get("test_accuracy")
    return (
        manifest.name,
        str(manifest.version),
        "unknown" if accuracy is None else f"{accuracy:.4f}",
        f"{manifest.created_at:%Y-%m-%d %H:%M}",
    )


def _set_up_logging() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_ExtraFormatter("%(message)s"))
    for name in ("training", "app"):  # not the root: libraries keep their own counsel
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)


def _fail(message: str, code: int) -> int:
    sys.stdout.flush()  # the reason is the last line, wherever the two streams meet
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
