"""Counts of a run, and the accuracy where the folders say what is right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from app.bulk.records import Classified, Failed, FileResult, printable

_MOST_SHOWN = 20
"""Broken files that are kept to be named at the end; all of them are in the output."""


class Tally:
    """What has become of all files so far.

    Attributes:
        classified: Files with labels.
        failed: Files without.
        labelled: Classified files whose folder is called as a label of the model.
        correct: Those of them whose best label it is.
    """

    def __init__(self, classes: Iterable[str]) -> None:
        """Start with none; ``classes`` are the labels of the model."""
        self._classes = frozenset(classes)
        self._here = os.path.basename(os.getcwd())  # noqa: PTH109, PTH119 - as below
        self._shown: list[Failed] = []
        self.classified = self.failed = self.labelled = self.correct = 0

    def add(self, results: Sequence[FileResult]) -> None:
        """Count."""
        for result in results:
            if isinstance(result, Classified):
                self.classified += 1
                folder = self._folder(result.file)
                if folder in self._classes:
                    self.labelled += 1
                    self.correct += result.predictions[0].label == folder
            else:
                self.failed += 1
                if len(self._shown) < _MOST_SHOWN:
                    self._shown.append(result)

    @property
    def total(self) -> int:
        """Files so far."""
        return self.classified + self.failed

    def failures(self) -> list[str]:
        """Return a line for each broken file, and how many there are more."""
        lines = [f"{printable(failure.file)}: {failure.detail}" for failure in self._shown]
        more = self.failed - len(self._shown)
        return [*lines, f"and {more:,} more, which are in the output"] if more else lines

    def summary(self, seconds: float) -> list[str]:
        """Return what is told at the end; ``seconds`` is what the run took."""
        rate = self.total / seconds if seconds > 0 else 0.0
        broken = f", {self.failed:,} broken" if self.failed else ""
        lines = [f"{self.classified:,} classified{broken} in {seconds:.1f} s: {rate:,.0f} images/s"]
        if self.labelled:
            of = "" if self.labelled == self.classified else f" of {self.classified:,}"
            lines.append(
                f"accuracy {self.correct / self.labelled:.4f}: {self.correct:,} of the "
                f"{self.labelled:,}{of} files whose folder is a label"
            )
        return lines

    def _folder(self, file: str) -> str:
        # os.path: a Path for each of thousands of files would take longer than all else here.
        folder = os.path.basename(os.path.dirname(file))  # noqa: PTH119, PTH120
        return folder if folder not in ("", ".") else self._here
