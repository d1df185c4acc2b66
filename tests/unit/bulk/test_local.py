"""Files to results in this process, with a puppet for a network."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.manifest import Manifest, read_manifest
from app.bulk.local import LocalClassifier, LocalPolicy
from app.bulk.records import Classified, Failed, FileResult
from app.bulk.stopping import Stop
from app.imaging.decoder import ImagingPolicy
from app.runtime.servable_group import DeviceGroup
from app.types import ImageArray, ScoreArray, Servable
from tests.factories.images import encode, noise_image
from tests.factories.versions import make_version
from tests.fakes import PATIENCE_S, PuppetServable, scores_of

scores = partial(scores_of, classes=3)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return read_manifest(make_version(tmp_path / "store", "pets", 3))


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{n:03}.png" for n in range(50)]
    for seed, path in enumerate(paths):
        path.write_bytes(encode(noise_image(4, 4, seed=seed), "PNG"))
    return [str(path) for path in paths]


def classifier(
    puppet: Servable,
    manifest: Manifest,
    *,
    batch_size: int = 8,
    decoders: int = 2,
    max_upload_bytes: int = 1 << 20,
) -> LocalClassifier:
    policy = LocalPolicy(ImagingPolicy(), max_upload_bytes, batch_size, decoders)
    return LocalClassifier(puppet, manifest, policy)


def run(ours: LocalClassifier, files: list[str], top_k: int = 3) -> list[FileResult]:
    return [result for results in ours.run(files, Stop(), top_k) for result in results]


def test_each_file_has_its_own_answer_in_the_order_of_the_files(
    files: list[str], manifest: Manifest
) -> None:
    puppet = PuppetServable(scores)

    results = run(classifier(puppet, manifest), files)

    assert [result.file for result in results] == files
    assert puppet.batch_sizes == [8] * 6 + [2]
    pixels = np.concatenate(puppet.executed)
    for result, row in zip(results, scores(pixels), strict=True):
        assert isinstance(result, Classified)
        assert (result.model, result.version, result.image.format) == ("pets", 3, "PNG")
        assert result.predictions[0].class_id == row.argmax()
        assert result.predictions[0].score == pytest.approx(row.max())
        assert len(result.predictions) == 3


def test_broken_files_are_results_and_cost_the_others_nothing(
    files: list[str], manifest: Manifest, tmp_path: Path
) -> None:
    text, cut, large, empty = (tmp_path / f"{name}.png" for name in ("t", "c", "l", "e"))
    text.write_text("no image")
    cut.write_bytes(Path(files[0]).read_bytes()[:-30])
    large.write_bytes(bytes(2000))
    empty.write_bytes(b"")
    gone, folder = str(tmp_path / "gone.png"), str(tmp_path)
    mixed = [files[0], str(text), str(cut), gone, str(large), str(empty), folder, files[1]]

    results = run(classifier(PuppetServable(scores), manifest, max_upload_bytes=1999), mixed)

    assert [result.file for result in results] == mixed
    codes = [result.code for result in results if isinstance(result, Failed)]
    assert codes == [
        "unsupported_format", "invalid_image", "unreadable_file", "upload_too_large",
        "invalid_request", "unreadable_file",
    ]  # fmt: skip
    (too_large,) = [r for r in results if isinstance(r, Failed) and r.code == "upload_too_large"]
    assert too_large.detail == (
        "The file has at least 2,000 bytes; the limit is 1,999 (KERASERVE_MAX_UPLOAD_BYTES)."
    )
    assert isinstance(results[0], Classified)
    assert isinstance(results[-1], Classified)


def test_batch_without_any_good_file_is_not_executed(manifest: Manifest) -> None:
    puppet = PuppetServable(scores)
    assert len(run(classifier(puppet, manifest), ["gone"] * 20)) == 20
    assert puppet.executed == []


def test_image_that_the_network_fails_on_fails_alone(files: list[str], manifest: Manifest) -> None:
    def behave(images: ImageArray) -> ScoreArray:
        if any(np.array_equal(image, culprit) for image in images):
            raise RuntimeError("of the engine")
        return scores(images)

    puppet = PuppetServable(scores)
    run(classifier(puppet, manifest), [files[5]])
    culprit = puppet.executed[0][0]

    results = run(classifier(PuppetServable(behave), manifest), files)

    assert [type(result) for result in results] == [Classified] * 5 + [Failed] + [Classified] * 44
    failed = results[5]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.detail) == (
        "execution_failed", "The network failed on this image.",
    )  # fmt: skip


def test_answer_that_is_no_number_is_the_error_of_its_image(
    files: list[str], manifest: Manifest
) -> None:
    def behave(images: ImageArray) -> ScoreArray:
        answer = scores(images)
        answer[1] = np.nan
        return answer

    results = run(classifier(PuppetServable(behave), manifest, batch_size=4), files[:4])

    assert [type(result) for result in results] == [Classified, Failed, Classified, Classified]


def test_members_of_a_group_execute_side_by_side_and_answer_in_order(
    files: list[str], manifest: Manifest
) -> None:
    both = threading.Barrier(2)  # neither goes on before the other one has a batch, too

    def behave(images: ImageArray) -> ScoreArray:
        both.wait(PATIENCE_S)
        return scores(images)

    puppets = [PuppetServable(behave) for _ in range(2)]

    results = run(classifier(DeviceGroup(puppets), manifest, batch_size=5), files)

    assert [result.file for result in results] == files
    assert all(isinstance(result, Classified) for result in results)
    assert [puppet.most_at_once for puppet in puppets] == [1, 1]
    assert [sum(puppet.batch_sizes) for puppet in puppets] == [25, 25]


def test_group_of_one_processor_executes_batches_too_small_to_share_it_as_one(
    files: list[str], manifest: Manifest
) -> None:
    class Shared(DeviceGroup):
        joins_at = 16

    puppets = [PuppetServable(scores) for _ in range(2)]
    run(classifier(Shared(puppets), manifest, batch_size=8), files)

    assert [len(puppet.executed) for puppet in puppets] == [7, 0]


def test_files_are_read_ahead_by_a_bound_whatever_their_number(
    files: list[str], manifest: Manifest
) -> None:
    taken: list[str] = []

    def endless() -> Iterator[str]:
        while True:
            for file in files:
                taken.append(file)
                yield file

    puppet = PuppetServable(scores)
    results = classifier(puppet, manifest, batch_size=4, decoders=2).run(endless(), Stop(), 1)
    for turn in range(30):
        assert len(next(results)) == 4
        assert len(taken) <= 4 * (turn + 1) + 4 * (2 * 2 + 2)
    results.close()  # type: ignore[attr-defined]


def test_stop_ends_it_with_all_that_it_yields_in_order(
    files: list[str], manifest: Manifest
) -> None:
    stop = Stop()
    results: list[FileResult] = []
    for batch in classifier(PuppetServable(scores), manifest).run(files, stop, 1):
        results += batch
        if len(results) == 16:
            stop.set(signal.SIGINT)

    assert 16 <= len(results) < len(files)
    assert [result.file for result in results] == files[: len(results)]
