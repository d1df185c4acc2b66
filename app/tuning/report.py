"""What was measured and what follows from it, as text, JSON and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.charts import Mark, Panel, Series, line_chart
from app.text_table import text_table
from app.tuning.recommendation import Recommendation, Setting, present_point
from app.tuning.records import Curve, LeftOut
from app.tuning.tuning import Tuned

_MOST_LINES = 7
"""In the picture: more cannot be told apart."""

_BUSY = (
    "Something else used the processors before this began. If it does not always do so, measure "
    "again without it."
)

_HEAD = (
    "engine",
    "precision",
    "threads",
    "batch size",
    "p50 ms",
    "p99 ms",
    "images/s",
    "range",
    "memory MB",
)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is to be told.

    Attributes:
        tuned: What was found.
        env_prefix: Before the names of settings, in an environment.
    """

    tuned: Tuned
    env_prefix: str

    def as_text(self) -> str:
        """Return it for a terminal."""
        parts = [f"{self.tuned.servable} on {self.tuned.machine}", *self._table()]
        parts += (
            ["", *_left_out_lines(self.tuned.findings.left_out)]
            if self.tuned.findings.left_out
            else []
        )
        if self.tuned.is_busy:
            parts += ["", _BUSY]
        if self.tuned.findings.ended_by is not None:
            parts += ["", f"Not all was measured: {self.tuned.findings.ended_by}."]
        if self.tuned.recommendation is None:
            return "\n".join([*parts, "", "Nothing could be measured."])
        return "\n".join([*parts, "", *self._advice(self.tuned.recommendation)])

    def as_document(self) -> dict[str, Any]:
        """Return it as JSON has it; times in s, memory in bytes."""
        found = self.tuned.recommendation
        return {
            "servable": self.tuned.servable,
            "machine": self.tuned.machine,
            "is_busy": self.tuned.is_busy,
            "goal": asdict(self.tuned.goal),
            "ended_by": self.tuned.findings.ended_by,
            "candidates": [
                {
                    **asdict(curve.candidate),
                    "memory_bytes": curve.memory_bytes,
                    "rounds": curve.rounds,
                    "points": [asdict(point) for point in curve.points],
                }
                for curve in self.tuned.findings.curves
            ],
            "left_out": [asdict(entry) for entry in self.tuned.findings.left_out],
            "recommendation": None
            if found is None
            else {
                **asdict(found.candidate),
                "settings": {self._name(setting): setting.value for setting in found.settings},
                "changed": [self._name(s) for s in found.settings if s.is_changed],
                "reason": found.reason,
                "gains": [asdict(gain) for gain in found.gains],
            },
        }

    def as_environment(self) -> str:
        """Return the settings as lines of an environment file."""
        lines = [f"# keraserve tune, {self.tuned.servable} on {self.tuned.machine}"]
        return "\n".join([*lines, *self._setting_lines()]) + "\n"

    def as_picture(self) -> str:
        """Return images per second over the time of an execution, as SVG."""
        target_s = self.tuned.goal.target_s
        mark = (
            []
            if target_s is None
            else [Mark(f"half of the target, {target_s * 500:g} ms", x=target_s * 500)]
        )
        return line_chart(
            f"{self.tuned.servable}: throughput against latency, by batch size",
            [
                Panel(
                    "execution of a batch, ms (median)",
                    "images per second",
                    [self._series(curve) for curve in self._drawn_curves()],
                    marks=[*mark, *self._present_mark()],
                )
            ],
            x_log=True,
        )

    def _drawn_curves(self) -> list[Curve]:
        """Return those worth a line: recommended, set now, then the best ones."""
        found = self.tuned.recommendation
        first = () if found is None else (found.candidate, found.present)
        order = sorted(
            self.tuned.findings.curves,
            key=lambda curve: (
                [curve.candidate == entry for entry in first],
                curve.rounds,
                self.tuned.goal.score(curve),
            ),
            reverse=True,
        )
        return order[:_MOST_LINES]

    def _series(self, curve: Curve) -> Series:
        points = curve.points
        found = self.tuned.recommendation
        is_best = found is not None and curve.candidate == found.candidate
        return Series(
            str(curve.candidate),
            [(point.p50_s * 1000, point.images_per_s) for point in points],
            [str(point.batch_size) for point in points] if is_best else (),
            is_bold=is_best,
        )

    def _present_mark(self) -> list[Mark]:
        curve = self._present_curve()
        if curve is None:
            return []
        point = present_point(curve, self.tuned.policy.allowed_batch_sizes[-1])
        return [Mark("set now", y=point.images_per_s)]

    def _present_curve(self) -> Curve | None:
        found = self.tuned.recommendation
        if found is None:
            return None
        curves = (curve for curve in self.tuned.findings.curves if curve.candidate == found.present)
        return next(curves, None)

    def _table(self) -> list[str]:
        rows = [
            (
                curve.candidate.engine,
                curve.candidate.precision,
                str(curve.candidate.threads or "own"),
                str(point.batch_size),
                f"{point.p50_s * 1000:.3g}",
                f"{point.p99_s * 1000:.3g}",
                f"{point.images_per_s:,.0f}",
                "-"
                if curve.rounds < 2
                else f"{point.least_images_per_s:,.0f} to {point.most_images_per_s:,.0f}",
                f"{curve.memory_bytes / 1e6:,.0f}",
            )
            for curve in self.tuned.findings.curves
            for point in curve.points
        ]
        return text_table([_HEAD, *rows], left=(0, 1)) if rows else []

    def _advice(self, found: Recommendation) -> list[str]:
        lines = [found.reason, ""]
        if found.is_present:
            return [*lines, "What is set now is fine:", *self._setting_lines()]
        lines += [*self._setting_lines()]
        if found.gains:
            lines += ["", f"Against what is set now ({found.present}), the network alone:"]
            lines += [
                f"  {gain.name}: {gain.recommended:,.4g} instead of {gain.present:,.4g} "
                f"({gain.ratio:.2f} x)"
                for gain in found.gains
            ]
        return lines

    def _setting_lines(self) -> list[str]:
        if self.tuned.recommendation is None:
            return []
        settings = [s for s in self.tuned.recommendation.settings if s.value or s.is_changed]
        changed = [setting for setting in settings if setting.is_changed]
        same = [setting for setting in settings if not setting.is_changed]
        lines = []
        for setting in changed:
            lines += [f"# changed, is {setting.present or 'unset'}", self._line(setting)]
        if same and changed:
            lines.append("# as it is")
        return [*lines, *map(self._line, same)]

    def _line(self, setting: Setting) -> str:
        return f"{self._name(setting)}={setting.value}"

    def _name(self, setting: Setting) -> str:
        return f"{self.env_prefix}{setting.name.upper()}"


def _left_out_lines(left_out: Sequence[LeftOut]) -> list[str]:
    return ["Left out:", *(f"  {entry.name}: {entry.reason}" for entry in left_out)]
