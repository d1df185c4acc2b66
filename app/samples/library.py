"""Finds the samples of a model, off the event loop and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.artifacts.checksums import file_record
from app.artifacts.labelled_samples import (
    LabelledSamples,
    read_labelled_samples,
    read_own_samples,
)
from app.artifacts.layout import SAMPLES
from app.errors import (
    ArtifactError,
    DeadlineExceededError,
    QueueFullError,
    SampleNotFoundError,
    SamplesUnavailableError,
)
from app.imaging.encoder import encode_png
from app.inference.deadline import Deadline
from app.inference.live import LiveServable
from app.registry.catalog import ModelCatalog
from app.registry.store import ModelStore
from app.samples.shelf import SampleShelf

T = TypeVar("T")

_SETTING = "KERASERVE_SAMPLES_DIR"

# Long for a look at the disk, which takes a millisecond, and short for a large file.
_RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample.

    Attributes:
        index: Its place in the data set, from 0.
        label: The class that the data set gives it.
        class_id: The position of that class in the model's list.
    """

    index: int
    label: str
    class_id: int


class SampleLibrary:
    """The labelled samples of the models.

    Find: those of the version that answers by default, if it carries any, else those of
        ``folder/<model>.npz``, whose classes must be the version's. Found anew by each call: what
        is put there, or takes over, counts from the next call on.
    Loop: called on the event loop of the catalog; files are read and images encoded in one thread,
        which is begun by the first call.
    Bound: a call ends at its deadline. At most ``max_waiting`` wait; the next one is refused.
        Memory: that of a ``SampleShelf``, and none before the first call.
    Cancel: a call that is cancelled before the thread has taken it does nothing.
    """

    def __init__(
        self,
        catalog: ModelCatalog[LiveServable],
        store: ModelStore,
        folder: Path,
        *,
        max_waiting: int,
    ) -> None:
        """Touch nothing yet.

        Args:
            catalog: Knows which version answers by default.
            store: Knows where it lies.
            folder: Samples of the models whose versions carry none (KERASERVE_SAMPLES_DIR).
            max_waiting: Most calls at one time (KERASERVE_MAX_QUEUE_SIZE).
        """
        self._catalog = catalog
        self._store = store
        self._folder = folder
        self._max_waiting = max_waiting
        self._waiting = 0  # owned by the event loop
        self._thread = ThreadPoolExecutor(1, "samples")
        self._shelf = SampleShelf()  # owned by the thread

    async def all(self, model: str, deadline_s: float) -> LabelledSamples:
        """Return the samples of a model.

        Args:
            model: Its name.
            deadline_s: When nobody wants them any more, on the event loop's clock.

        Raises:
            ServableNotFoundError: There is no such model.
            ServableNotReadyError: None of its versions answers by default.
            SamplesUnavailableError: It has none, or none that can be used.
            QueueFullError: Too many wait.
            DeadlineExceededError: The disk took too long.
        """
        return await self._run(partial(self._find, self._catalog.resolve(model)), deadline_s)

    async def one(self, model: str, index: int, deadline_s: float) -> Sample:
        """Return what one sample is; raises as ``all`` and ``SampleNotFoundError``."""
        return _sample(model, await self.all(model, deadline_s), index)

    async def image(self, model: str, index: int, deadline_s: float) -> tuple[Sample, bytes]:
        """Return what one sample is, and its pixels as a PNG; raises as ``one`` does."""
        live = self._catalog.resolve(model)

        def encode() -> tuple[Sample, bytes]:
            samples = self._find(live)
            sample = _sample(model, samples, index)
            return sample, encode_png(samples.images[index])

        return await self._run(encode, deadline_s)

    def close(self) -> None:
        """Stop the thread once it is done with what it has; nobody calls any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T], deadline_s: float) -> T:
        if self._waiting >= self._max_waiting:
            raise QueueFullError(
                f"{self._waiting:,} requests wait for samples; the limit is "
                f"{self._max_waiting:,} (KERASERVE_MAX_QUEUE_SIZE).",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._waiting += 1
        try:
            with Deadline(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise DeadlineExceededError(
                "The deadline passed before the samples had been read."
            ) from None
        finally:
            self._waiting -= 1

    # ---- in the thread ----------------------------------------------------------------------

    def _find(self, live: LiveServable) -> LabelledSamples:
        own = self._find_own(live)
        if own is not None:
            return own
        name, path = live.id.name, self._folder / f"{live.id.name}.npz"
        try:
            samples = self._shelf.take((name, "shared"), path, read_labelled_samples)
        except FileNotFoundError:
            raise SamplesUnavailableError(
                f"There are no labelled samples of {name}: version {live.id.version} has none of "
                f"its own, and {path} does not exist ({_SETTING}). {_how_to_get(name)}"
            ) from None
        except ArtifactError as error:
            raise SamplesUnavailableError(
                f"The samples of {name} cannot be used: {error} ({_SETTING}). {_how_to_get(name)}"
            ) from error
        assert samples is not None, "such a file has labels"
        if samples.classes != live.manifest.classes:
            raise SamplesUnavailableError(
                f"The samples in {path} are of other classes than {live.id}: "
                f"{_difference(samples.classes, live.manifest.classes)} ({_SETTING})."
            )
        return samples

    def _find_own(self, live: LiveServable) -> LabelledSamples | None:
        record = live.manifest.files.get(SAMPLES)
        if record is None:
            return None
        classes = live.manifest.classes

        def read(path: Path) -> LabelledSamples | None:
            # They were right when the version was loaded; since then anything may have happened.
            if file_record(path) != record:
                raise ArtifactError(f"{path.name} is not what the manifest says any more")
            return read_own_samples(path, classes)

        path = self._store.locate(live.id).folder / SAMPLES
        try:
            return self._shelf.take((live.id.name, "own"), path, read, sha256=record.sha256)
        except FileNotFoundError:  # a version goes on serving when its folder is taken away
            return None
        except ArtifactError as error:
            raise SamplesUnavailableError(
                f"The samples of {live.id} cannot be used: {error} (KERASERVE_MODEL_DIR)."
            ) from error


def _sample(model: str, samples: LabelledSamples, index: int) -> Sample:
    if not 0 <= index < len(samples):
        raise SampleNotFoundError(f"{model} has no sample {index}; it has: 0 to {len(samples) - 1}")
    class_id = int(samples.labels[index])
    return Sample(index, samples.classes[class_id], class_id)


def _how_to_get(name: str) -> str:
    return (
        "For the models that Keraserve brings, `make samples` makes them; for others, "
        f"`keraserve-train samples {name} --data PATH`."
    )


def _difference(found: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """Say where two lists of classes differ first."""
    if len(found) != len(wanted):
        return f"they are {len(found)}, the model has {len(wanted)}"
    pairs = enumerate(zip(found, wanted, strict=True))
    place = next(place for place, (one, other) in pairs if one != other)
    return f"class {place} is {found[place]!r}, the model calls it {wanted[place]!r}"
