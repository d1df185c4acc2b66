"""Renders ``report.html``: one page that stands alone, light or dark as its reader prefers.

``string.Template`` fills it, for its few holes need no template engine as a dependency. Everything
that is not written in this module goes through ``html.escape``.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping
from string import Template

from app.artifacts.manifest import Gate, GateCheck, Manifest
from training.evaluate import Evaluation
from training.gate import TEST_ACCURACY

_METRIC_NAMES = {
    "test_accuracy": "Test accuracy",
    "test_top5_accuracy": "Test top-5 accuracy",
    "test_loss": "Test loss, nats",
    "test_expected_calibration_error": "Expected calibration error (15 bins)",
    "train_accuracy": "Training accuracy, last epoch (augmented images, dropout on)",
}
_AS_PERCENT = {"test_accuracy", "test_top5_accuracy", "train_accuracy"}

_PICTURES = {
    "confusion_matrix.png": "Confusion matrix",
    "calibration.png": "Calibration",
    "training_curves.png": "Training curves",
    "sample_predictions.png": "Sample predictions",
}

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; --text: #1f2937; --soft: #6b7280; --line: #e5e7eb;
  --page: #ffffff; --card: #f9fafb; --accent: #2166ac; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e5e7eb; --soft: #9ca3af; --line: #374151; --page: #111827; --card: #1f2937;
    --accent: #92c5de; }
}
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin-bottom: 0; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
.lead { color: var(--soft); margin-top: .2rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .8rem 1.2rem; flex: 1 1 10rem; }
.figure b { display: block; font-size: 1.6rem; color: var(--accent); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
tbody th { font-weight: 600; }
.facts th { width: 12rem; }
.numbers td, .numbers thead th + th { text-align: right; }
code { font-size: .9em; }
figure { margin: 1.5rem 0; }
figure img { background: #ffffff; border: 1px solid var(--line); border-radius: .5rem;
  max-width: 100%; height: auto; display: block; margin: auto; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="lead">$lead</p>
<div class="figures">$figures</div>
<h2>Facts</h2>
<table class="facts"><tbody>$facts</tbody></table>
<h2>Gate</h2>
<p>$gate_verdict</p>
<table class="numbers">
<thead><tr><th>Check</th><th>Value</th><th>Limit</th><th>Passed</th></tr></thead>
<tbody>$gate_checks</tbody></table>
<h2>Metrics</h2>
<table class="numbers"><tbody>$metrics</tbody></table>
<h2>Classes</h2>
<table class="numbers">
<thead>
<tr><th>Class</th><th>Precision</th><th>Recall</th><th>F1</th><th>Test images</th></tr>
</thead>
<tbody>$classes</tbody></table>
$pictures
</body>
</html>
""")


def render_page(manifest: Manifest, evaluation: Evaluation, pictures: Mapping[str, bytes]) -> str:
    """Return the page of one version.

    Args:
        manifest: The version; its ``files`` are not needed.
        evaluation: Its figures on the test images.
        pictures: PNG by file name; they are embedded.
    """
    return _PAGE.substitute(
        title=_text(f"{manifest.name} version {manifest.version}"),
        lead=_text(
            f"{manifest.architecture}, {manifest.parameters:,} parameters, published "
            f"{manifest.created_at:%d %B %Y, %H:%M} UTC"
        ),
        figures=_figures(evaluation),
        facts=_rows((name, [value]) for name, value in _facts(manifest)),
        gate_verdict=_verdict(manifest.gate),
        gate_checks=_rows(
            (
                check.name.replace("_", " "),
                [f"{check.value:.4g}", _limit(check), "yes" if check.passed else "no"],
            )
            for check in manifest.gate.checks
        ),
        metrics=_rows(
            (_METRIC_NAMES.get(name, name), [_figure(name, value)])
            for name, value in manifest.metrics.items()
        ),
        classes=_rows(
            (
                scores.label,
                [
                    f"{scores.precision:.3f}",
                    f"{scores.recall:.3f}",
                    f"{scores.f1:.3f}",
                    f"{scores.support:,}",
                ],
            )
            for scores in evaluation.classes
        ),
        pictures="\n".join(
            _picture(title, pictures[name]) for name, title in _PICTURES.items() if name in pictures
        ),
    )


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    record, taken = manifest.training, manifest.input
    fit = record.config.get("fit", {})
    return [
        ("Data set", record.dataset),
        ("Its fingerprint", record.dataset_fingerprint),
        ("Command", record.command),
        ("Hardware", record.hardware),
        ("Training time", _duration(record.duration_s)),
        ("Epochs", f"{fit.get('epochs', '?')}, batches of {fit.get('batch_size', '?')}"),
        ("Precision", f"{fit.get('precision', '?')} in training, float32 as published"),
        ("Seed", str(record.seed)),
        ("Input", f"{taken.height} × {taken.width} × {taken.channels}, uint8"),
        ("Libraries", ", ".join(f"{name} {v}" for name, v in record.libraries.items())),
        ("Commit", record.commit or "not recorded (no clean checkout)"),
    ]


def _figures(evaluation: Evaluation) -> str:
    tiles = [
        ("Test accuracy", f"{evaluation.accuracy:.2%}"),
        ("Top-5 accuracy", f"{evaluation.top5_accuracy:.2%}"),
        ("Test images", f"{sum(scores.support for scores in evaluation.classes):,}"),
        ("Calibration error", f"{evaluation.expected_calibration_error:.4f}"),
    ]
    return "".join(
        f'<div class="figure"><b>{_text(value)}</b>{_text(name)}</div>' for name, value in tiles
    )


def _verdict(gate: Gate) -> str:
    if gate.passed:
        return "Passed."
    return "Not passed; published by force." if gate.forced else "Not passed."


def _limit(check: GateCheck) -> str:
    return f"{'≥' if check.name == TEST_ACCURACY else '≤'} {check.limit:.4g}"


def _figure(name: str, value: float) -> str:
    return f"{value:.2%}" if name in _AS_PERCENT else f"{value:.4f}"


def _rows(rows: Iterable[tuple[str, list[str]]]) -> str:
    return "\n".join(
        f'<tr><th scope="row">{_text(name)}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, cells in rows
    )


def _picture(title: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return (
        f"<h2>{_text(title)}</h2>\n"
        f'<figure><img alt="{_text(title)}" src="data:image/png;base64,{data}"></figure>'
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _text(value: str) -> str:
    return html.escape(value, quote=True)
