"""``keraserve-train import``: publishes a network that was trained elsewhere."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import Any, get_args

from app.artifacts.manifest import NAME_PATTERN, read_manifest
from app.types import Interpolation, ResizeMode
from training.commands import OK, PROGRAM
from training.commands.lookup import add_models_dir
from training.commands.quiet import import_tensorflow
from training.commands.version_texts import drift_gaps
from training.data.class_names import parse_class_names
from training.data.dataset import DataError
from training.importing.options import ImportOptions

_DESCRIPTION = """\
Publishes a network that was trained elsewhere as a version that `keraserve serve` can load. It
takes one image and gives one score for each class.

SOURCE is a .keras file of Keras 3, an .h5 file of Keras 2 or 3, or the folder of a SavedModel.
Layers that carry code (Lambda, classes of your own), and operations of a SavedModel that are not
plain arithmetic on arrays, are refused: the server would run them. So is what would unpack to more
than 4 GiB, or leads to files outside of SOURCE.

The network is given (pixel * scale + offset - mean) / std of each pixel, 0..255 in the order red,
green, blue. The options must say what it was trained with; try it with --samples:

  0..1                      --scale 0.00392157
  -1..1                     --scale 0.00784314 --offset -1
  ImageNet's statistics     --scale 0.00392157 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
"""


def add_parser(commands: Any) -> None:
    """Add ``import`` to the subcommands."""
    parser = commands.add_parser(
        "import",
        help="publish a network that was trained elsewhere",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(handle=handle)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="what to import")
    parser.add_argument(
        "--name", required=True, type=_model_name, metavar="NAME", help="model to publish under"
    )
    parser.add_argument(
        "--classes",
        required=True,
        type=Path,
        metavar="FILE",
        help="text file with the names of the classes, a line each, in the order of the scores",
    )
    parser.add_argument(
        "--samples",
        type=Path,
        metavar="DIR",
        help="pictures that every server will test the version by, up to 1,000: in folders named "
        "as the classes, which also measures the accuracy, and what drift is measured against "
        "(up to 5,000 of them, in their own mix of classes), or side by side. Without it pictures "
        "are generated",
    )
    _add_preprocessing(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="publish whatever the accuracy on labelled samples is; the manifest says so",
    )
    add_models_dir(parser)


def handle(arguments: argparse.Namespace) -> int:
    """Import and publish.

    Raises:
        ArtifactError: The source is damaged, carries code, or does not fit classes and options.
        DataError: The class names or the samples cannot be read.
        GateError: The network misses the accuracy, or the service refuses it.
    """
    classes = _read_classes(arguments.classes)
    import_tensorflow()
    from training.importing.importer import SAMPLE_ACCURACY, ImportRequest, import_network

    options = ImportOptions(
        scale=arguments.scale,
        offset=arguments.offset,
        mean=arguments.mean,
        std=arguments.std,
        resize=arguments.resize,
        interpolation=arguments.interpolation,
        logits=arguments.logits,
        input_size=arguments.input_size,
    )
    request = ImportRequest(
        source=arguments.source,
        name=arguments.name,
        classes=classes,
        options=options,
        samples=arguments.samples,
        models_dir=arguments.models_dir,
        command=repeatable_command(arguments),
        force=arguments.force,
    )
    folder = import_network(request)
    manifest = read_manifest(folder)
    accuracy = manifest.metrics.get(SAMPLE_ACCURACY)
    measured = "not measured (no labelled --samples)" if accuracy is None else f"{accuracy:.4f}"
    print(
        f"published {folder}: {manifest.parameters:,} parameters, {len(classes)} classes, "
        f"accuracy on the samples {measured}{', forced' if manifest.gate.forced else ''}"
    )
    for line in drift_gaps(manifest.statistics):
        print(line)
    return OK


def repeatable_command(arguments: argparse.Namespace) -> str:
    """Return the command that repeats an import elsewhere: paths of this machine mean nothing."""
    words = [PROGRAM, "import", arguments.source.name, "--name", arguments.name]
    words += ["--classes", arguments.classes.name]
    for flag in ("scale", "offset"):
        value = getattr(arguments, flag)
        if value != getattr(ImportOptions(), flag):
            words += [f"--{flag}", f"{value:g}"]
    for flag in ("mean", "std"):
        values = getattr(arguments, flag)
        if values:
            words += [f"--{flag}", ",".join(f"{value:g}" for value in values)]
    for flag in ("resize", "interpolation"):
        value = getattr(arguments, flag)
        if value != getattr(ImportOptions(), flag):
            words += [f"--{flag}", value]
    if arguments.input_size:
        words += ["--input-size", "x".join(map(str, arguments.input_size))]
    words += ["--logits"] * arguments.logits + ["--force"] * arguments.force
    return shlex.join(words) + (" --samples PATH" if arguments.samples else "")


def _add_preprocessing(parser: argparse.ArgumentParser) -> None:
    default = ImportOptions()
    parser.add_argument(
        "--scale", type=_number, default=default.scale, metavar="X", help="factor on the pixels"
    )
    parser.add_argument(
        "--offset", type=_number, default=default.offset, metavar="X", help="added after it"
    )
    parser.add_argument(
        "--mean",
        type=_numbers,
        default=default.mean,
        metavar="X[,X,X]",
        help="subtracted after that: one value, or one for each channel",
    )
    parser.add_argument(
        "--std",
        type=_positive_numbers,
        default=default.std,
        metavar="X[,X,X]",
        help="divides the rest: one value, or one for each channel",
    )
    parser.add_argument(
        "--resize",
        choices=get_args(ResizeMode),
        default=default.resize,
        help="how images of other sizes are fitted (default: %(default)s)",
    )
    parser.add_argument(
        "--interpolation",
        choices=get_args(Interpolation),
        default=default.interpolation,
        help="filter of that (default: %(default)s)",
    )
    parser.add_argument(
        "--logits", action="store_true", help="the network ends without a softmax: add one"
    )
    parser.add_argument(
        "--input-size",
        type=_size,
        metavar="HxW",
        help="height and width in pixels, where the network takes any",
    )


def _read_classes(path: Path) -> tuple[str, ...]:
    try:
        return parse_class_names(path.read_bytes(), path.parent)
    except OSError as error:
        raise DataError(f"--classes: {path} cannot be read: {error.strerror}") from error


def _model_name(text: str) -> str:
    if not re.fullmatch(NAME_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r} must match {NAME_PATTERN}")
    return text


def _number(text: str) -> float:
    (value, *more) = _numbers(text)
    if more:
        raise argparse.ArgumentTypeError(f"{text!r} must be one number")
    return value


def _numbers(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(abs(value) < float("inf") for value in values):  # NaN fails too
        raise argparse.ArgumentTypeError(f"{text!r} must be numbers with commas between them")
    return values


def _positive_numbers(text: str) -> tuple[float, ...]:
    values = _numbers(text)
    if min(values) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be above 0")
    return values


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if match is None or max(int(match[1]), int(match[2])) > 4096:
        raise argparse.ArgumentTypeError(f"{text!r} must be HEIGHTxWIDTH, px, at most 4096x4096")
    return int(match[1]), int(match[2])
