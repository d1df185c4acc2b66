"""Published versions in words and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.artifacts.layout import REPORT
from app.artifacts.manifest import Gate, Manifest
from app.artifacts.statistics import ReferenceStatistics
from training.commands.tables import columns, section, size_text

HEADER = (
    "MODEL", "VERSION", "TEST", "VALID", "ECE", "GATE", "ARCHITECTURE", "PARAMETERS", "SIZE",
    "CREATED",
)  # fmt: skip
RIGHT = (1, 2, 3, 4, 7, 8)
"""Of the columns above, those with numbers."""

_NOTHING = "-"


def row(manifest: Manifest) -> tuple[str, ...]:
    """Return the cells of a version, as ``HEADER`` names them."""
    metrics = manifest.metrics
    return (
        manifest.name,
        str(manifest.version),
        number(metrics.get("test_accuracy")),
        number(metrics.get("validation_accuracy")),
        number(metrics.get("test_expected_calibration_error")),
        gate_text(manifest.gate),
        manifest.architecture,
        f"{manifest.parameters:,}",
        size_text(size_bytes(manifest)),
        f"{manifest.created_at:%Y-%m-%d %H:%M}",
    )


def unreadable_row(name: str, version: int) -> tuple[str, ...]:
    """Return the cells of a version without a valid manifest."""
    return (name, str(version), *[_NOTHING] * 3, "broken", *[_NOTHING] * (len(HEADER) - 6))


def describe(manifest: Manifest, folder: Path) -> list[str]:
    """Return everything that a manifest says, but the hashes of its files."""
    network, training = manifest.input, manifest.training
    calibration = manifest.calibration
    return [
        *section(
            f"{manifest.name}:{manifest.version}",
            [
                ("folder", f"{folder}, {len(manifest.files)} files, {size(manifest)}"),
                ("created", f"{manifest.created_at:%Y-%m-%d %H:%M} UTC{_origin(manifest)}"),
                ("architecture", f"{manifest.architecture}, {manifest.parameters:,} parameters"),
                (
                    "input",
                    f"{network.height} × {network.width} × {network.channels}, "
                    f"{network.resize}, {network.interpolation}",
                ),
                ("classes", f"{len(manifest.classes)}: {', '.join(manifest.classes)}"),
                ("temperature", f"{calibration.temperature:.4g} ({calibration.method})"),
            ],
        ),
        "",
        *section("metrics", [(name, number(value)) for name, value in manifest.metrics.items()]),
        "",
        *_statistics(manifest),
        f"gate: {gate_text(manifest.gate)}",
        *_indented(_gate_table(manifest.gate)),
        "",
        *section(
            "training",
            [
                ("command", training.command),
                ("dataset", f"{training.dataset}, {training.dataset_fingerprint}"),
                ("duration", duration_text(training.duration_s)),
                ("hardware", training.hardware),
                ("libraries", ", ".join(f"{n} {v}" for n, v in training.libraries.items())),
                ("commit", training.commit or "unknown"),
            ],
        ),
        "",
        *section("configuration", [(k, value_text(v)) for k, v in flat(training.config).items()]),
    ]


def compare(a: Manifest, b: Manifest, folders: tuple[Path, Path]) -> list[str]:
    """Return what tells two versions apart: figures, classes, configuration."""
    names = tuple(f"{manifest.name}:{manifest.version}" for manifest in (a, b))
    lines = []
    if a.training.dataset_fingerprint != b.training.dataset_fingerprint:
        lines += [
            f"warning: judged by different data sets, {_dataset(a)} and {_dataset(b)}:",
            "the figures cannot be compared",
            "",
        ]
    figures = {
        **_pairs(a.metrics, b.metrics),
        "parameters": (a.parameters, b.parameters),
        "size_bytes": (size_bytes(a), size_bytes(b)),
        "training_duration_s": (a.training.duration_s, b.training.duration_s),
    }
    lines += _differences(("metric", *names), figures)
    if class_figures := _pairs(_f1(folders[0]), _f1(folders[1]), both=True):
        lines += ["", *_differences(("F1 of class", *names), class_figures)]
    lines += ["", *_configuration_differences(a, b, names)]
    return lines


def drift_gaps(statistics: ReferenceStatistics | None) -> list[str]:
    """Return a line on what drift will never be measured by, and why; none if there is nothing."""
    if statistics is None:
        return ["no drift index: there are no labelled images to compare with"]
    gaps = [signal.shortage for signal in statistics.signals if signal.is_too_small]
    if statistics.class_shares is None:
        gaps.insert(0, "classes (nobody knows how frequent they are)")
    return [f"no drift index of {', '.join(gaps)}"] if gaps else []


def gate_text(gate: Gate) -> str:
    """Return what the gate said, in a word."""
    if gate.passed:
        return "passed"
    return "forced" if gate.forced else "failed"


def number(value: float | None) -> str:
    """Return a figure with four decimals; large ones need none."""
    if value is None:
        return _NOTHING
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"


def size(manifest: Manifest) -> str:
    """Return what the version's files take on disk, with its unit."""
    return size_text(size_bytes(manifest))


def size_bytes(manifest: Manifest) -> int:
    """Return what the version's files take on disk, the manifest left out."""
    return sum(record.size_bytes for record in manifest.files.values())


def duration_text(seconds: float) -> str:
    """Return e.g. ``1 h 19 min 43 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours} h " if hours else "") + (f"{minutes} min " if minutes else "") + f"{rest} s"


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration by dotted keys, as ``--set`` takes them."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def value_text(value: Any) -> str:
    """Return a value of a configuration as TOML would have it, strings without their quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def _origin(manifest: Manifest) -> str:
    if manifest.republished_from is None:
        return ""
    return f", from version {manifest.republished_from}: samples and report are of that one"


def _statistics(manifest: Manifest) -> list[str]:
    statistics = manifest.statistics
    if statistics is None:
        return []
    held_out = statistics.held_out

    def levels(values: tuple[float, ...]) -> str:
        return ", ".join(f"{value:.1f}" for value in values)

    return [
        *section(
            "statistics",
            [
                ("images", f"{statistics.images:,} ({statistics.source})"),
                (
                    "confidence",
                    f"{statistics.mean_confidence:.4f}; {held_out.mean_confidence:.4f} of "
                    f"{held_out.images:,} images held out",
                ),
                ("channel means", levels(statistics.channel_means)),
                ("channel spreads", levels(statistics.channel_spreads)),
            ],
        ),
        "",
    ]


def _gate_table(gate: Gate) -> list[str]:
    if not gate.checks:
        return ["nothing was checked"]
    rows = [("check", "value", "limit", "")]
    rows += [
        (check.name, f"{check.value:.4g}", f"{check.limit:.4g}", "" if check.passed else "failed")
        for check in gate.checks
    ]
    return columns(rows, right=(1, 2))


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _dataset(manifest: Manifest) -> str:
    return f"{manifest.training.dataset} {manifest.training.dataset_fingerprint[:15]}…"


def _pairs(
    a: Mapping[str, float], b: Mapping[str, float], *, both: bool = False
) -> dict[str, tuple[float | None, float | None]]:
    names = [name for name in a if name in b] if both else [*a, *(n for n in b if n not in a)]
    return {name: (a.get(name), b.get(name)) for name in names}


def _differences(
    header: tuple[str, ...], figures: Mapping[str, tuple[float | None, float | None]]
) -> list[str]:
    rows = [(*header, "difference")]
    for name, (first, second) in figures.items():
        rows.append((name, number(first), number(second), _difference(first, second)))
    return columns(rows, right=(1, 2, 3))


def _difference(first: float | None, second: float | None) -> str:
    if first is None or second is None:
        return ""
    if first == second:
        return "="
    return f"{second - first:+.4f}" if abs(second - first) < 100 else f"{second - first:+,.0f}"


def _f1(folder: Path) -> dict[str, float]:
    """Return F1 by class from the report; nothing where it has no such table."""
    try:
        document = json.loads((folder / REPORT / "metrics.json").read_text(encoding="utf-8"))
        return {str(scores["label"]): float(scores["f1"]) for scores in document["classes"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _configuration_differences(a: Manifest, b: Manifest, names: tuple[str, ...]) -> list[str]:
    first, second = _settings(a), _settings(b)
    rows = [("configuration", *names)]
    keys = [*first, *(key for key in second if key not in first)]
    for key in sorted(keys, key=lambda key: key.startswith("(")):  # what --set takes goes first
        if first.get(key, _NOTHING) != second.get(key, _NOTHING):
            rows.append((key, first.get(key, _NOTHING), second.get(key, _NOTHING)))
    if len(rows) == 1:
        return ["configuration: no difference"]
    return columns(rows)


def _settings(manifest: Manifest) -> dict[str, str]:
    training = manifest.training
    return {
        **{key: value_text(value) for key, value in flat(training.config).items()},
        "(hardware)": training.hardware,
        "(commit)": (training.commit or "unknown")[:12],
        **{f"({name})": version for name, version in training.libraries.items()},
    }
