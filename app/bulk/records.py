"""What became of one file, whoever classified it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from app.bulk.stopping import Stop
from app.inference.records import ImageInfo, Prediction

STDIN = "-"
"""The path that is the standard input."""

UNREADABLE = "unreadable_file"
"""The code of a file that cannot be read; the other codes are those of the service."""


@dataclass(frozen=True, slots=True)
class Answering:
    """The version that answers, and its labels by ``class_id``."""

    model: str
    version: int
    classes: tuple[str, ...]

    def __str__(self) -> str:
        """Return ``model:version``."""
        return f"{self.model}:{self.version}"


@dataclass(frozen=True, slots=True)
class Classified:
    """A file with its labels, best first."""

    file: str
    model: str
    version: int
    predictions: Sequence[Prediction]
    image: ImageInfo


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that has no labels, and why."""

    file: str
    code: str
    detail: str


FileResult: TypeAlias = Classified | Failed


class Classifier(Protocol):
    """A way to an answer."""

    @property
    def answering(self) -> Answering:
        """Who answers."""
        ...

    def run(self, files: Iterable[str], stop: Stop, top_k: int) -> Iterator[Sequence[FileResult]]:
        """Yield the results in the order of ``files``, some at a time, until told to stop.

        ``files`` is read as far ahead as is worked on, and no further. ``top_k`` is 1..K.
        """
        ...


def printable(text: str) -> str:
    """Return what a terminal shows as it is: a name may hold what would steer it."""
    return text if text.isprintable() else ascii(text)[1:-1]
