"""Renders ``report.html``: one page that stands alone, light or dark as its reader prefers.

``string.Template`` fills it, for its few holes need no template engine as a dependency. Everything
that is not written in this module goes through ``escaped``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from app.artifacts.manifest import Gate, GateCheck, Manifest
from training.evaluation.confidence import MAX_TRAIN_IMAGES
from training.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from training.evaluation.evaluate import (
    BATCH_SIZE,
    CALIBRATION_BINS,
    TOP_K,
    ClassScores,
    average_scores,
)
from training.evaluation.html_parts import Row, embedded, escaped, framed, table
from training.evaluation.plots import spoken
from training.evaluation.report_template import PAGE
from training.evaluation.study import MAX_CORRUPTED_IMAGES, Study

MAX_OPEN_CLASSES = 30
"""A longer table of classes is folded away, behind the weakest ones."""

WEAKEST_CLASSES = 10

_CHECKS = {
    "non_finite_weights": "Weights that are NaN or infinite",
    "round_trip_deviation": "Deviation of the saved network",
    "train_accuracy": "Training accuracy",
    "validation_accuracy": "Validation accuracy",
    "test_accuracy": "Test accuracy",
    "published_accuracy": "Test accuracy, against the published version",
}
_CEILINGS = {"non_finite_weights", "round_trip_deviation"}
"""Checks whose value must not be above its limit; all others must not be below."""


def render_page(
    manifest: Manifest,
    study: Study,
    pictures: Mapping[str, bytes],
    *,
    hardware: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return the page of one version.

    Args:
        manifest: The version; its ``files`` and ``metrics`` are not needed.
        study: What was measured.
        pictures: PNG by file name; they are embedded.
        hardware: That the study ran on; None where it is that of the training.
        notes: Sentences that a reader must know before the figures.
    """
    sections = [
        ("Gate", _gate(manifest.gate)),
        ("Figures", _figures(study, hardware or manifest.training.hardware)),
        ("Classes", _classes(study.evaluation.classes, study.evaluation.accuracy)),
        ("Confusion matrix", _picture("Confusion matrix", "confusion_matrix.png", pictures)),
        ("Calibration", _calibration(study, pictures)),
        ("Robustness", _robustness(study, pictures)),
        ("Most confident mistakes", _mistakes(study, pictures)),
        ("Sample predictions", _picture("Predictions", "sample_predictions.png", pictures)),
        ("Training curves", _picture("Training curves", "training_curves.png", pictures)),
        ("Facts", table(_facts(manifest), kind="facts")),
        ("Configuration", _configuration(manifest)),
    ]
    return PAGE.substitute(
        title=escaped(f"{manifest.name} version {manifest.version}"),
        lead=escaped(
            f"{manifest.architecture}, {manifest.parameters:,} parameters, published "
            f"{manifest.created_at:%d %B %Y, %H:%M} UTC"
        ),
        verdict=_verdict(manifest.gate),
        notes="".join(f'<p class="note">{escaped(note)}</p>' for note in notes),
        tiles=_tiles(study),
        sections="\n".join(
            f"<h2>{escaped(title)}</h2>\n{content}" for title, content in sections if content
        ),
    )


# ---- Verdict and figures --------------------------------------------------------------------


def _verdict(gate: Gate) -> str:
    failed = [_check_name(check) for check in gate.checks if not check.passed]
    if gate.passed:
        count = len(gate.checks)
        text, rest = "Passed.", f" All {count} checks of the gate hold." if count else ""
    else:
        text = "Not passed; published by force." if gate.forced else "Not passed."
        rest = f" Failed: {', '.join(failed)}." if failed else ""
    kind = "verdict" if gate.passed else "verdict failed"
    return f'<p class="{kind}"><b>{escaped(text)}</b>{escaped(rest)}</p>'


def _tiles(study: Study) -> str:
    now, before = study.evaluation, study.uncalibrated.expected_calibration_error
    tiles = [("Test accuracy", f"{now.accuracy:.2%}", f"{study.counts.test:,} images")]
    if len(now.classes) > TOP_K:
        tiles.append(("Top-5 accuracy", f"{now.top5_accuracy:.2%}", ""))
    tiles += [
        (
            "Calibration error",
            f"{now.expected_calibration_error:.4f}",
            f"{before:.4f} before scaling" if study.temperature != 1 else "not scaled",
        ),
        (
            "Corrupted images",
            f"{study.corrupted_accuracy:.2%}",
            f"{study.clean_accuracy:.2%} of the same ones as they are",
        ),
        ("Images per second", _speed(study.images_per_s), f"batches of {BATCH_SIZE}"),
    ]
    return "".join(
        f'<div class="tile"><b>{escaped(value)}</b>{escaped(name)}'
        f"<small>{escaped(more)}</small></div>"
        for name, value, more in tiles
    )


def _gate(gate: Gate) -> str:
    if not gate.checks:
        return ""
    lines = []
    for check in gate.checks:
        passed = "<td>yes</td>" if check.passed else '<td class="no">no</td>'
        cells = (_check_value(check, check.value), _limit(check))
        lines.append(
            f'<tr><th scope="row">{escaped(_check_name(check))}</th>'
            + "".join(f"<td>{escaped(cell)}</td>" for cell in cells)
            + f"{passed}</tr>"
        )
    return framed(("Check", "Value", "Limit", "Passed"), "\n".join(lines), "numbers")


def _check_name(check: GateCheck) -> str:
    return _CHECKS.get(check.name, check.name.replace("_", " "))


def _check_value(check: GateCheck, value: float) -> str:
    return f"{value:.2%}" if check.name.endswith("_accuracy") else f"{value:.3g}"


def _limit(check: GateCheck) -> str:
    return f"{'≤' if check.name in _CEILINGS else '≥'} {_check_value(check, check.limit)}"


def _figures(study: Study, hardware: str) -> str:
    counts, now, before = study.counts, study.evaluation, study.uncalibrated
    test = f"{counts.test:,} test images"
    validation = f"{counts.validation:,} validation images"
    rows: list[Row] = [("Test accuracy", (f"{now.accuracy:.2%}", test))]
    if len(now.classes) > TOP_K:
        rows.append(("Test top-5 accuracy", (f"{now.top5_accuracy:.2%}", test)))
    rows += [
        ("Test loss, nats", (f"{now.loss:.4f}", test)),
        (
            "Expected calibration error",
            (f"{now.expected_calibration_error:.4f}", f"{test}, {CALIBRATION_BINS} bins"),
        ),
        ("– before scaling", (f"{before.expected_calibration_error:.4f}", "the same")),
        ("Temperature", (f"{study.temperature:.4g}", _temperature_source(study))),
        ("Validation accuracy", (f"{study.validation_accuracy:.2%}", f"{validation} as they are")),
        (
            "Training accuracy",
            (
                f"{study.train_accuracy:.2%}",
                f"{counts.train:,} training images as they are"
                + _balanced(counts.train, MAX_TRAIN_IMAGES),
            ),
        ),
        (
            "Accuracy on corrupted images",
            (f"{study.corrupted_accuracy:.2%}", f"{counts.corrupted:,} test images, 12 times"),
        ),
        (
            "Images per second",
            (_speed(study.images_per_s), f"{hardware}, float32, batches of {BATCH_SIZE}"),
        ),
    ]
    return table(rows, head=("Figure", "Value", "Measured on"), kind="numbers", text_column=2)


def _balanced(count: int, most: int) -> str:
    return ", equally many of each class" if count == most else ""


def _temperature_source(study: Study) -> str:
    if study.temperature == 1:
        return "none: probabilities are served as the network gives them"
    return "fitted on validation images; divides the logarithms of the probabilities"


# ---- Classes --------------------------------------------------------------------------------

_CLASS_HEAD = ("Class", "Precision", "Recall", "F1", "Images")


def _classes(classes: tuple[ClassScores, ...], accuracy: float) -> str:
    rows = [_class_row(scores) for scores in classes]
    support = sum(scores.support for scores in classes)
    summary = [
        ("accuracy", ("", "", f"{accuracy:.3f}", f"{support:,}")),
        *(_class_row(scores) for scores in average_scores(classes)),
    ]
    whole = table(rows, head=_CLASS_HEAD, kind="numbers", summary=summary)
    if len(classes) <= MAX_OPEN_CLASSES:
        return whole
    weakest = sorted(classes, key=lambda scores: scores.f1)[:WEAKEST_CLASSES]
    short = table(
        [_class_row(scores) for scores in weakest],
        head=_CLASS_HEAD,
        kind="numbers",
        summary=summary,
    )
    return (
        f"<p>The {WEAKEST_CLASSES} classes with the lowest F1:</p>\n{short}\n"
        f"<details><summary>All {len(classes)} classes</summary>{whole}</details>"
    )


def _class_row(scores: ClassScores) -> Row:
    shares = (f"{share:.3f}" for share in (scores.precision, scores.recall, scores.f1))
    return (scores.label, (*shares, f"{scores.support:,}"))


# ---- Pictures with words --------------------------------------------------------------------


def _calibration(study: Study, pictures: Mapping[str, bytes]) -> str:
    if study.temperature == 1:
        words = "No temperature is applied."
    else:
        words = (
            f"Temperature {study.temperature:.4g} brings the expected calibration error from "
            f"{study.uncalibrated.expected_calibration_error:.4f} to "
            f"{study.evaluation.expected_calibration_error:.4f}. It is chosen by validation "
            "images; the diagrams show test images."
        )
    return f"<p>{escaped(words)}</p>\n" + _picture("Calibration", "calibration.png", pictures)


def _robustness(study: Study, pictures: Mapping[str, bytes]) -> str:
    accuracy = {(score.corruption, score.severity): score.accuracy for score in study.robustness}
    clean = f"{study.clean_accuracy:.2%}"
    rows: list[Row] = [("none", (clean,) * len(SEVERITIES))]
    for corruption in CORRUPTIONS:
        cells = [f"{accuracy[corruption, severity]:.2%}" for severity in SEVERITIES]
        rows.append((spoken(corruption), cells))
    words = (
        f"Accuracy on {study.counts.corrupted:,} test images"
        f"{_balanced(study.counts.corrupted, MAX_CORRUPTED_IMAGES)}, corrupted in the strengths of "
        "Hendrycks and Dietterich (ICLR 2019) for small images; blur in proportion to the image."
    )
    head = ("Corruption", *(f"Severity {severity}" for severity in SEVERITIES))
    numbers = table(rows, head=head, kind="numbers")
    picture = _picture("Robustness", "robustness.png", pictures)
    return f"<p>{escaped(words)}</p>\n{numbers}\n{picture}"


def _mistakes(study: Study, pictures: Mapping[str, bytes]) -> str:
    if study.mistakes is None:
        return ""
    if not len(study.mistakes):
        return "<p>No test image is classified wrongly.</p>"
    words = "Wrongly classified test images that the network is surest about."
    return f"<p>{words}</p>\n" + _picture("Most confident mistakes", "mistakes.png", pictures)


def _picture(title: str, name: str, pictures: Mapping[str, bytes]) -> str:
    return embedded(title, pictures[name]) if name in pictures else ""


# ---- Facts ----------------------------------------------------------------------------------


def _facts(manifest: Manifest) -> list[Row]:
    record, taken = manifest.training, manifest.input
    fit = record.config.get("fit", {})
    facts = [
        ("Data set", record.dataset),
        ("Its fingerprint", record.dataset_fingerprint),
        ("Command", record.command),
        ("Hardware", record.hardware),
        ("Training time", _duration(record.duration_s)),
    ]
    if fit:
        facts += [
            ("Epochs", f"{fit.get('epochs', '?')}, batches of {fit.get('batch_size', '?')}"),
            ("Precision", f"{fit.get('precision', '?')} in training, float32 as published"),
        ]
    facts += [
        ("Seed", str(record.seed)),
        ("Input", f"{taken.height} × {taken.width} × {taken.channels}, uint8"),
        ("Libraries", ", ".join(f"{name} {v}" for name, v in record.libraries.items())),
        ("Commit", record.commit or "not recorded (no clean checkout)"),
    ]
    return [(name, (value,)) for name, value in facts]


def _configuration(manifest: Manifest) -> str:
    resolved = json.dumps(manifest.training.config, indent=2, ensure_ascii=False)
    return (
        "<details><summary>The resolved configuration</summary>"
        f"<pre>{escaped(resolved)}</pre></details>"
    )


def _speed(images_per_s: float) -> str:
    return f"{images_per_s:,.0f}" if images_per_s >= 10 else f"{images_per_s:.1f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
