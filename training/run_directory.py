"""``data/runs/<name>-<fingerprint>/``: the state of one run, from its first epoch to its end.

A run that was stopped is found here and goes on. One that was published leaves a note and its
history, and gives the space of its checkpoint back; the next run of the same configuration starts
from nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.data import DataError

CHECKPOINT = "checkpoint.keras"
EXPORT = "export.keras"
HISTORY = "history.jsonl"
DATASET = "dataset.json"
PUBLISHED = "published.json"

EpochRecord = dict[str, float]
"""epoch (from 1), loss, accuracy, learning_rate, duration_s."""


class RunDirectory:
    """The files of one run. Each is replaced by one rename, so none is ever half-written."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is read or made yet."""
        self.path = path

    @property
    def checkpoint(self) -> Path:
        """Where the training state is, or will be."""
        return self.path / CHECKPOINT

    @property
    def export(self) -> Path:
        """Where the float32 network waits for the gate."""
        return self.path / EXPORT

    def published_version(self) -> int | None:
        """Return the version that this run ended as, or None while it has not ended."""
        path = self.path / PUBLISHED
        if not path.is_file():
            return None
        return int(json.loads(path.read_text(encoding="utf-8"))["version"])

    def begin(self, dataset_fingerprint: str) -> None:
        """Make the folder, and tie it to the data set that the run learns from.

        Raises:
            DataError: The run began with other images; going on would mix the two.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / DATASET
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
            if before != dataset_fingerprint:
                raise DataError(
                    f"{self.path} was begun with the data set {before}, this one is "
                    f"{dataset_fingerprint}; --fresh drops the old run"
                )
        self._write_json(path, {"fingerprint": dataset_fingerprint})

    def history(self) -> list[EpochRecord]:
        """Return the record of each epoch so far; a killed run may have one too many."""
        path = self.path / HISTORY
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def epochs_done(self) -> int:
        """Return how many epochs a run that goes on here would skip."""
        return len(self.history()) if self.checkpoint.is_file() else 0

    def write_history(self, history: list[EpochRecord]) -> None:
        """Replace the history."""
        lines = "".join(json.dumps(record) + "\n" for record in history)
        replace_file(self.path / HISTORY, lambda part: part.write_text(lines, encoding="utf-8"))

    def end(self, version: int) -> None:
        """Note that the run was published, and drop what only training needs."""
        self._write_json(self.path / PUBLISHED, {"version": version})
        self.checkpoint.unlink(missing_ok=True)
        self.export.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget everything; the checkpoint goes first, for it alone makes a run go on."""
        for name in (CHECKPOINT, EXPORT, HISTORY, DATASET, PUBLISHED):
            (self.path / name).unlink(missing_ok=True)

    def _write_json(self, path: Path, content: dict[str, Any]) -> None:
        text = json.dumps(content) + "\n"
        replace_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write ``path`` under another name first, so that it is whole whenever it is there."""
    part = path.with_name(f"part-{path.name}")  # keeps the suffix, which Keras looks at
    write(part)
    part.replace(path)
