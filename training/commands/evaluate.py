"""``keraserve-train evaluate``: judges a published version anew, and writes a report elsewhere."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.artifacts.checksums import verify_files
from app.artifacts.layout import REPORT_PAGE
from app.artifacts.manifest import Manifest, read_manifest
from training.commands import OK
from training.commands.lookup import VERSION_HELP, add_models_dir, find_version
from training.commands.places import require_writable
from training.commands.quiet import import_tensorflow
from training.commands.subject import find_subject, read_history
from training.config_file import ConfigError

if TYPE_CHECKING:  # they bring scikit-learn and Matplotlib, which help texts can do without
    from training.evaluation.reports import Report
    from training.evaluation.study import Study

EVALUATIONS = Path("data/evaluations")

_DESCRIPTION = """\
Runs a published version over the data set that it was trained on, divided as it was then, or an
imported one over labelled images of its classes: accuracy, precision, recall and F1 of each class,
confusion matrix, calibration before and after temperature scaling, robustness to noise, blur,
brightness and JPEG compression, and images per second.

Writes report.html, metrics.json and the plots into a folder of their own. A published version is
never changed.
"""


def add_parser(commands: Any) -> None:
    """Add ``evaluate`` to the commands of an argparse parser."""
    parser = commands.add_parser(
        "evaluate",
        help="judge a published version by its data set",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("version", metavar="VERSION", help=VERSION_HELP)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="local copy of the data set, as for `run`; without it the public sets are downloaded, "
        "and an imported version cannot be judged",
    )
    parser.add_argument(
        "--other-data",
        action="store_true",
        help="go on if the data set is not the one of the training: its images may have been "
        "divided differently, or be new",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"where the report goes (default: {EVALUATIONS}/NAME-NUMBER)",
    )
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="show images of the data set even if the version was published without them",
    )
    add_models_dir(parser)
    parser.set_defaults(handle=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Evaluate, write, print.

    Raises:
        ArtifactError: There is no such version, or it is damaged.
        DataError: The data set cannot be read, or is another one.
        ConfigError: The output folder is inside a published version, or an imported version is to
            be judged by no data.
    """
    folder = find_version(arguments.models_dir, arguments.version)
    manifest = read_manifest(folder)
    output = arguments.output or EVALUATIONS / f"{manifest.name}-{manifest.version}"
    _check_output(output, folder, arguments.models_dir)
    verify_files(folder, manifest)
    subject = find_subject(manifest, arguments.data, other_data=arguments.other_data)

    require_writable(output)
    import_tensorflow()
    from training.evaluation.reports import PAGE, Report, write_report
    from training.evaluation.study import study_network
    from training.fitting.hardware import describe
    from training.keras_networks import exact_arithmetic
    from training.published_networks import load_network

    with exact_arithmetic():
        study = study_network(
            load_network(folder, manifest),
            subject.dataset,
            pictures=arguments.pictures or subject.shows_pictures,
            temperature=manifest.calibration.temperature,
        )
    hardware = describe()
    today = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    report = Report(
        study,
        read_history(folder),
        hardware,
        (*subject.notes, f"Evaluated {today}, on {hardware}; the gate is that of publishing."),
    )
    write_report(output, report, manifest)
    _print_report(report, manifest, output / PAGE)
    return OK


def _check_output(output: Path, folder: Path, models_dir: Path) -> None:
    target = output.resolve()
    for place in (folder.resolve(), models_dir.resolve()):
        if target.is_relative_to(place):
            raise ConfigError(
                f"--output {output} is inside {place}: published versions are never changed"
            )
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is no folder")
    if output.is_dir() and any(output.iterdir()) and not (output / REPORT_PAGE).is_file():
        raise ConfigError(
            f"--output {output} holds other files, which a report might replace; name a new folder"
        )


def _print_report(report: Report, manifest: Manifest, page: Path) -> None:
    from training.evaluation.evaluate import TOP_K

    study = report.study
    now, before = study.evaluation, study.uncalibrated
    print(f"{manifest.name}:{manifest.version}, {study.counts.test:,} test images\n")
    print(study.classification_report)
    rows = [("accuracy", f"{now.accuracy:.4f}")]
    if len(now.classes) > TOP_K:
        rows.append(("top-5 accuracy", f"{now.top5_accuracy:.4f}"))
    rows += [
        ("loss", f"{now.loss:.4f} nats"),
        ("validation accuracy", f"{study.validation_accuracy:.4f}"),
        ("training accuracy", f"{study.train_accuracy:.4f}"),
        (
            "calibration error",
            f"{now.expected_calibration_error:.4f} as served at temperature "
            f"{study.temperature:.4g}, {before.expected_calibration_error:.4f} without",
        ),
        ("images per second", f"{study.images_per_s:,.0f} on {report.hardware}"),
    ]
    for name, value in rows:
        print(f"{name:<20} {value}")
    clean = f"{study.clean_accuracy:.4f} as they are"
    print(f"\ncorrupted images (of {study.counts.corrupted:,}, {clean})")
    for line in _robustness_lines(study):
        print(line)
    print(f"\nsee {page}")


def _robustness_lines(study: Study) -> list[str]:
    from training.evaluation.corruptions import CORRUPTIONS, SEVERITIES
    from training.evaluation.plots import spoken

    found = {(score.corruption, score.severity): score.accuracy for score in study.robustness}
    lines = [" " * 20 + "".join(f"  severity {severity}" for severity in SEVERITIES)]
    for corruption in CORRUPTIONS:
        cells = (f"{found[corruption, severity]:>12.4f}" for severity in SEVERITIES)
        lines.append(f"{spoken(corruption):<20}" + "".join(cells))
    return lines
