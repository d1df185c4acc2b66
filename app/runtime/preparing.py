"""From a verified version folder to a servable that has proved itself."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from app.artifacts.layout import OPENVINO_MODEL, SAMPLES
from app.artifacts.manifest import Manifest
from app.artifacts.samples import Samples, read_samples
from app.errors import ArtifactError
from app.runtime.choices import Host, engine_choices
from app.runtime.host import ThisHost
from app.runtime.memory import give_back
from app.runtime.policy import EnginePolicy
from app.runtime.self_test import SelfTestResult, run_self_test
from app.types import Execute, Servable, ServableGroup, ServableState, StagingServable

logger = logging.getLogger(__name__)

LoadServable = Callable[[Path, Manifest, EnginePolicy], Servable]
"""Builds what an engine executes, from the folder of a verified version; it blocks."""


def prepare_servable(
    folder: Path,
    manifest: Manifest,
    policy: EnginePolicy,
    load: LoadServable,
    report: Callable[[ServableState], None] = lambda _: None,
    host: Host | None = None,
) -> tuple[Servable, SelfTestResult]:
    """Build, warm up and test; with other engines and precisions until one passes. Blocks.

    On several devices each has to pass; the result is that of the one that deviates most.

    Args:
        folder: Of the version.
        manifest: Its description.
        policy: What it may run on.
        load: Builds the servable of one engine and precision.
        report: Told of WARMING and TESTING.
        host: What there is to execute it with; None: find out.

    Raises:
        ArtifactError: None passes; the message is of the last one that was tried.
    """
    samples = read_samples(folder / SAMPLES)
    is_exported = (folder / OPENVINO_MODEL).is_file()
    *others, last = engine_choices(
        policy,
        host or ThisHost(),
        is_exported=is_exported,
        is_frozen_graph=manifest.format == "saved_model",
    )
    for choice in others:
        try:
            return _prepare(folder, manifest, choice, load, samples, report)
        except ArtifactError as error:
            fields = {
                "servable": f"{manifest.name}:{manifest.version}",
                "engine": choice.engine,
                "precision": choice.precision,
                "reason": str(error),
            }
            logger.warning("engine passed over", extra=fields)
    return _prepare(folder, manifest, last, load, samples, report)


def _prepare(
    folder: Path,
    manifest: Manifest,
    choice: EnginePolicy,
    load: LoadServable,
    samples: Samples,
    report: Callable[[ServableState], None],
) -> tuple[Servable, SelfTestResult]:
    with contextlib.ExitStack() as undo:
        undo.callback(give_back)  # what loading has needed for a moment; after close()
        servable = load(folder, manifest, choice)
        undo.callback(servable.close)
        report(ServableState.WARMING)
        servable.warm_up()
        report(ServableState.TESTING)
        largest = choice.allowed_batch_sizes[-1]
        results = [
            run_self_test(execute, samples, manifest.self_test, largest, min(least, largest))
            for part, least in _parts(servable)
            for execute in _ways(part)
        ]
        undo.pop_all()
    give_back()
    return servable, max(results, key=lambda result: result.max_deviation)


def _parts(servable: Servable) -> Iterator[tuple[Servable, int]]:
    """Yield everything that may execute, and the images that it takes at least."""
    if not isinstance(servable, ServableGroup):
        yield servable, 1
        return
    if servable.joins_at > 1:  # the members share a device: the whole of it is a way of its own
        yield servable, 1
    for member in servable.members:
        yield member, servable.joins_at


def _ways(servable: Servable) -> Iterator[Execute]:
    """Yield every way in which a servable may be asked to execute."""
    yield servable.execute
    if isinstance(servable, StagingServable):
        yield lambda images: servable.execute_staged(servable.stage(images))
