"""``data/runs/<name>-<fingerprint>/``: the state of one run, from its first epoch to its end.

A run that was stopped is found here and goes on. One that was published leaves a note, its history
and its TensorBoard logs, and gives the space of its checkpoints back; the next run of the same
configuration starts from nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.data.dataset import DataError

EXPORT = "export.keras"
BEST = "best.weights.h5"
HISTORY = "history.jsonl"
ORIGIN = "origin.json"
PUBLISHED = "published.json"
LOCK = "lock"
TENSORBOARD = "tensorboard"
PART = "part-"

_CHECKPOINT = re.compile(r"checkpoint-(\d+)\.keras")

EpochRecord = dict[str, float]
"""epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate, duration_s."""


class RunInUseError(Exception):
    """Another process works in the run's folder."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run began with.

    Attributes:
        fingerprint: Of its data set.
        commit: That the code was checked out from, if that is known.
        hardware: In words.
        teacher: SHA-256 of the network of its teacher, if it has one.
    """

    fingerprint: str
    commit: str | None
    hardware: str
    teacher: str | None = None


class RunDirectory:
    """The files of one run. Each is replaced by one rename, so none is ever half-written."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is read or made yet."""
        self.path = path

    @property
    def export(self) -> Path:
        """Where the float32 network waits for the gate."""
        return self.path / EXPORT

    @property
    def best_weights(self) -> Path:
        """Where the weights of the best epoch are, if early stopping looks for it."""
        return self.path / BEST

    @property
    def tensorboard(self) -> Path:
        """Where TensorBoard's logs go."""
        return self.path / TENSORBOARD

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; the lock ends with the process, however that ends.

        Raises:
            RunInUseError: One is in.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOCK).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunInUseError(f"another process trains this run, in {self.path}") from error
            yield

    def published_version(self) -> int | None:
        """Return the version that this run ended as, or None while it has not ended."""
        path = self.path / PUBLISHED
        if not path.is_file():
            return None
        return int(json.loads(path.read_text(encoding="utf-8"))["version"])

    def begin(self, origin: Origin) -> Origin:
        """Make the folder and tie it to what the run begins with; return what it began with.

        Raises:
            DataError: The run began with other images or another teacher; going on would mix the
                two.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / ORIGIN
        if not path.is_file():
            self._write_json(path, asdict(origin))
            return origin
        before = Origin(**json.loads(path.read_text(encoding="utf-8")))
        if before.fingerprint != origin.fingerprint:
            raise DataError(
                f"{self.path} was begun with the data set {before.fingerprint}, this one is "
                f"{origin.fingerprint}; --fresh drops the old run"
            )
        if before.teacher != origin.teacher:
            raise DataError(
                f"{self.path} was begun with another teacher of the same name and number; --fresh "
                "drops the old run"
            )
        return before

    def checkpoint(self) -> tuple[Path, int] | None:
        """Return the newest state of training, and how many epochs are in it."""
        found = self._checkpoints()
        return found[-1] if found else None

    def write_checkpoint(self, epochs: int, write: Callable[[Path], object]) -> None:
        """Save the state after ``epochs`` epochs; the older one goes once this is there."""
        path = self.path / f"checkpoint-{epochs:05d}.keras"
        replace_file(path, write)
        for other, _ in self._checkpoints():
            if other != path:
                other.unlink()

    def history(self) -> list[EpochRecord]:
        """Return the record of each epoch that a run that goes on here would skip."""
        path, checkpoint = self.path / HISTORY, self.checkpoint()
        if not path.is_file() or checkpoint is None:
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        # A killed run may have one line more: the history is written first.
        return [json.loads(line) for line in lines[: checkpoint[1]]]

    def write_history(self, history: list[EpochRecord]) -> None:
        """Replace the history."""
        lines = "".join(json.dumps(record) + "\n" for record in history)
        replace_file(self.path / HISTORY, lambda part: part.write_text(lines, encoding="utf-8"))

    def end(self, version: int) -> None:
        """Note that the run was published, and drop what only training needs."""
        self._write_json(self.path / PUBLISHED, {"version": version})
        for path, _ in self._checkpoints():
            path.unlink()
        for path in (self.export, self.best_weights):
            path.unlink(missing_ok=True)
        self._drop_parts()

    def clear(self) -> None:
        """Forget everything; the checkpoints go first, for they alone make a run go on."""
        for path, _ in self._checkpoints():
            path.unlink()
        for name in (EXPORT, BEST, HISTORY, ORIGIN, PUBLISHED):
            (self.path / name).unlink(missing_ok=True)
        self._drop_parts()
        shutil.rmtree(self.tensorboard, ignore_errors=True)

    def _drop_parts(self) -> None:
        """Drop what killed processes were writing."""
        for path in self.path.glob(f"{PART}*"):
            path.unlink()

    def _checkpoints(self) -> list[tuple[Path, int]]:
        if not self.path.is_dir():
            return []
        matches = ((path, _CHECKPOINT.fullmatch(path.name)) for path in self.path.iterdir())
        return sorted(
            ((path, int(match[1])) for path, match in matches if match),
            key=lambda found: found[1],
        )

    def _write_json(self, path: Path, content: dict[str, Any]) -> None:
        text = json.dumps(content) + "\n"
        replace_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write ``path`` under another name first, so that it is whole whenever it is there.

    It is on the disk, and not only on its way, before it gets its name: a machine that loses its
    power leaves the old file or the new one.
    """
    part = path.with_name(f"{PART}{path.name}")  # keeps the suffix, which Keras looks at
    write(part)
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(path)
