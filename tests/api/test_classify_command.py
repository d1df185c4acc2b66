"""``keraserve classify --url`` against a real server."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.access.caller import Scope
from app.access.keys_file import create_key
from app.bulk.records import Classified, Failed, FileResult
from app.bulk.remote import RemoteClassifier, RemotePolicy
from app.bulk.stopping import Stop
from app.cli import main
from app.client import ConnectionFailedError
from tests.api.live_server import LiveServer, listening
from tests.api.world import add_version, picture

pytestmark = pytest.mark.timeout(60)

SETTINGS = {"store_watch": "off", "keep_warm_s": 0}
COUNT = 40


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    path.mkdir()
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed in range(COUNT):
        label = ("cat", "dog", "unknown")[seed % 3]
        path = folder / label / f"{seed:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(seed))
    return folder


@pytest.fixture
def server(store: Path) -> Iterator[LiveServer]:
    with listening(store, **SETTINGS) as server:
        yield server


def names(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*.png"))]


def run(server: LiveServer, *arguments: object) -> int:
    return main(["classify", *map(str, arguments), "--url", server.url])


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def metrics(server: LiveServer) -> str:
    connection = server.connect()
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def remote(server: LiveServer, concurrency: int = 4, timeout_s: float = 30) -> RemoteClassifier:
    policy = RemotePolicy(server.url, None, concurrency, timeout_s, images_per_request=1)
    return RemoteClassifier(policy)


# ---- answers ------------------------------------------------------------------------------


def test_folder_is_classified_in_order_with_its_accuracy(
    server: LiveServer, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"

    assert run(server, photos, "--recursive", "--format", "jsonl", "--output", output) == 0

    found = rows(output)
    assert [row["file"] for row in found] == names(photos)
    assert {(row["model"], row["version"]) for row in found} == {("cifar10", 1)}
    assert all(len(row["predictions"]) == 3 for row in found)
    labelled = [row for row in found if "unknown" not in row["file"]]
    right = sum(row["predictions"][0]["label"] in row["file"] for row in labelled)
    told = capsys.readouterr().err
    assert f"{COUNT} classified in" in told
    assert f"accuracy {right / len(labelled):.4f}: {right} of the {len(labelled)} of 40" in told
    series = {"model": "cifar10", "version": "1", "outcome": "ok"}
    registry = server.lifecycle.metrics.registry
    assert registry.get_sample_value("keraserve_images_total", series) == COUNT


def test_broken_files_are_entries_and_are_named_at_the_end(
    server: LiveServer, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "cat" / "0.png").write_text("no image")
    (photos / "cat" / "1.png").write_bytes(b"")

    assert run(server, photos / "cat", "--format", "csv", "--top-k", 1) == 1

    captured = capsys.readouterr()
    table = list(csv.DictReader(captured.out.splitlines()))
    assert len(table) == 16
    errors = {Path(row["file"]).name: row["error"] for row in table if row["error"]}
    assert errors == {"0.png": "unsupported_format", "1.png": "invalid_request"}
    assert "14 classified, 2 broken" in captured.err
    assert f"{photos}/cat/0.png: The file is not a known image" in captured.err


def test_table_and_json_come_as_they_are_asked_for(
    server: LiveServer, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server, photos / "dog") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["LABEL", "SCORE", "FILE"]
    assert [line.split()[2] for line in lines[1:]] == names(photos / "dog")
    output = tmp_path / "out.json"
    assert run(server, photos / "dog", "--format", "json", "--output", output, "--top-k", 2) == 0
    document = json.loads(output.read_text())
    assert [len(row["predictions"]) for row in document["results"]] == [2] * 13


def test_version_or_label_that_is_asked_for_answers(store: Path, photos: Path) -> None:
    for version in (1, 2):
        add_version(store, version=version)
    with listening(store, **SETTINGS, models="cifar10:all") as server:
        output = photos.parent / "one.jsonl"
        assert run(
            server, photos / "cat", "--version", 1, "--format", "jsonl", "--output", output
        ) == 0  # fmt: skip
        assert {row["version"] for row in rows(output)} == {1}
        output = photos.parent / "stable.jsonl"
        assert run(
            server, photos / "cat", "--label", "stable", "--format", "jsonl", "--output", output
        ) == 0  # fmt: skip
        assert {row["version"] for row in rows(output)} == {2}


# ---- a busy server, and none --------------------------------------------------------------


def test_full_queue_is_waited_for_and_costs_no_file(store: Path, photos: Path) -> None:
    limits = {"max_batch_size": 1, "max_queue_size": 1, "max_images_per_request": 1}
    with listening(store, **SETTINGS, **limits) as server:
        puppet = server.puppets["cifar10:1"]
        puppet.hold()
        results: list[FileResult] = []

        def classify() -> None:
            for batch in remote(server, concurrency=8).run(names(photos / "cat"), Stop(), 1):
                results.extend(batch)

        thread = threading.Thread(target=classify)
        thread.start()
        refused = 'keraserve_images_total{model="cifar10",outcome="queue_full",version="1"}'
        # The puppet is held: what is sent meanwhile can only wait or be refused.
        while refused not in metrics(server):
            assert thread.is_alive()
        puppet.let_go()
        thread.join(30)

    assert [result.file for result in results] == names(photos / "cat")
    assert all(isinstance(result, Classified) for result in results)


def test_server_that_goes_away_ends_the_run_with_what_it_has_and_it_can_go_on(
    store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = [photos, "--recursive", "--format", "jsonl", "--output", output, "--resume"]
    with listening(store, **SETTINGS) as server:
        ours = remote(server, concurrency=1, timeout_s=0.5)
        run_of_ours = ours.run(names(photos), Stop(), 1)
        first = next(iter(run_of_ours))
        assert first[0].file == names(photos)[0]
        port = server.port
    with pytest.raises(ConnectionFailedError, match=str(port)):
        list(run_of_ours)
    with listening(store, **SETTINGS) as server:
        assert run(server, *arguments) == 0
        assert [row["file"] for row in rows(output)] == names(photos)
        before = output.read_bytes()
        capsys.readouterr()
        assert run(server, *arguments) == 0
        assert "40 had been done before" in capsys.readouterr().err
    assert output.read_bytes() == before


def test_stop_gives_up_what_is_under_way_and_keeps_the_order(
    server: LiveServer, photos: Path
) -> None:
    puppet, stop = server.puppets["cifar10:1"], Stop()
    files = names(photos)
    results: list[FileResult] = []
    for batch in remote(server, concurrency=2).run(files, stop, 1):
        results += batch
        if not stop.is_set and len(results) >= 3:
            puppet.hold()
            stop.set(signal.SIGINT)
    puppet.let_go()
    assert 3 <= len(results) < COUNT
    assert [result.file for result in results] == files[: len(results)]


def test_stop_that_comes_when_all_is_over_is_heard_by_nobody(
    server: LiveServer, photos: Path
) -> None:
    stop = Stop()
    files = names(photos / "cat")
    found = [result for batch in remote(server).run(files, stop, 1) for result in batch]
    stop.set(signal.SIGINT)
    assert len(found) == len(files)


def test_standard_input_is_not_the_file_of_its_name(
    server: LiveServer, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    Path("-").write_text("no image")
    Path("empty.png").write_bytes(b"")
    given = io.TextIOWrapper(io.BytesIO(picture(1)))
    monkeypatch.setattr(sys, "stdin", given)
    classifier = RemoteClassifier(RemotePolicy(server.url, None, 4, 30))
    found = [r for batch in classifier.run(["-", "empty.png"], Stop(), 1) for r in batch]
    assert [type(result) for result in found] == [Classified, Failed]


def test_folder_that_vanishes_in_the_middle_ends_it_with_what_was_done(
    server: LiveServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = tmp_path / "many", tmp_path / "out.jsonl"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "last.png").write_bytes(picture())
    for number in range(80):  # more than is read ahead
        (folder / f"{number:02}.png").write_bytes(picture(number))
    puppet = server.puppets["cifar10:1"]
    puppet.hold()
    before = len(puppet.executed)

    def take_away() -> None:
        puppet.wait_began(before + 1)
        shutil.rmtree(folder / "inner")
        puppet.let_go()

    thread = threading.Thread(target=take_away)
    thread.start()
    arguments = [folder, "--recursive", "--format", "jsonl", "--output", output]
    assert run(server, *arguments, "--concurrency", 1) == 1
    thread.join()

    told = capsys.readouterr().err
    assert f"{folder}/inner cannot be listed: No such file or directory" in told
    assert "--resume goes on with it" in told
    done = [row["file"] for row in rows(output)]
    assert 16 <= len(done) <= 80
    assert done == names(folder)[: len(done)]
    assert run(server, *arguments, "--resume") == 0
    assert [row["file"] for row in rows(output)] == names(folder)


# ---- going on -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_run_goes_on_behind_a_half_written_row(
    server: LiveServer, photos: Path, tmp_path: Path, form: str
) -> None:
    output = tmp_path / "out"
    arguments = [photos, "--recursive", "--format", form, "--output", output]
    assert run(server, *arguments) == 0
    whole = output.read_bytes()
    output.write_bytes(whole[: len(whole) * 2 // 3])

    assert run(server, *arguments, "--resume") == 0

    assert output.read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--output", "there"], "there exists: --resume", id="nothing is written over"),
        pytest.param(["--resume"], "name it (--output)", id="resume without a file"),
        pytest.param(
            ["--resume", "--output", "new"], "jsonl or csv, not with table", id="resume of a table"
        ),
        pytest.param(["--output", "no/new"], "its folder is not there", id="no such folder"),
        pytest.param(["--top-k", "4"], "cifar10:1 has 3 labels", id="more labels than there are"),
        pytest.param(["--model", "none"], "no model 'none'", id="unknown model"),
        pytest.param(["--version", "9"], "no version 9; it has: 1", id="unknown version"),
        pytest.param(["--label", "beta"], "no label 'beta'; it has: ", id="unknown label"),
        pytest.param(["gone.png"], "gone.png is not there", id="file that is not there"),
        pytest.param(["--model-dir", "x"], "--url or --model-dir, not both", id="both ways"),
        pytest.param(["--key-file", "none"], "none cannot be read", id="no key"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    server: LiveServer,
    photos: Path,
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photos)
    Path("there").write_text("precious")

    assert run(server, "cat", *arguments) == 2

    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""
    assert Path("there").read_text() == "precious"
    assert not Path("new").exists()


def test_results_of_another_version_are_not_mixed(
    server: LiveServer, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = [photos / "cat", "--format", "jsonl", "--output", output, "--resume"]
    assert run(server, *arguments) == 0
    before = output.read_text().replace('"version": 1', '"version": 7')
    output.write_text(before)
    assert run(server, *arguments) == 2
    assert "has answers of cifar10:7, now cifar10:1 would answer" in capsys.readouterr().err
    assert output.read_text() == before


def test_server_that_is_not_there_is_told(
    photos: Path, capsys: pytest.CaptureFixture[str], server: LiveServer
) -> None:
    assert main(["classify", str(photos / "cat"), "--url", "http://127.0.0.1:9"]) == 2
    assert "http://127.0.0.1:9 does not answer" in capsys.readouterr().err
    assert main(["classify", str(photos / "cat"), "--url", "nowhere"]) == 2
    assert "'nowhere' is no address" in capsys.readouterr().err


def test_address_and_key_come_from_the_environment(
    store: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = create_key(tmp_path / "keys.json", "bulk", [Scope.INFER])
    with listening(store, api_keys_file=tmp_path / "keys.json", **SETTINGS) as server:
        assert run(server, photos / "cat") == 2
        monkeypatch.setenv("KERASERVE_API_KEY", key)
        monkeypatch.setenv("KERASERVE_URL", server.url)
        assert main(["classify", str(photos / "cat")]) == 0


def test_unreadable_file_is_an_entry_of_its_own(server: LiveServer, photos: Path) -> None:
    files = [*names(photos / "cat")[:2], str(photos / "gone.png")]
    found = [result for batch in remote(server).run(files, Stop(), 1) for result in batch]
    assert isinstance(found[2], Failed)
    assert (found[2].code, found[2].detail) == ("unreadable_file", "No such file or directory")


def test_small_files_go_together_and_each_by_itself_where_that_is_refused(
    store: Path, photos: Path
) -> None:
    with listening(store, **SETTINGS, max_upload_bytes=5000) as server:
        large = photos / "cat" / "99.png"
        policy = RemotePolicy(server.url, None, 4, 30, images_per_request=8)
        files = names(photos)
        before = len(server.begun)
        found = [r for batch in RemoteClassifier(policy).run(files, Stop(), 1) for r in batch]
        assert [result.file for result in found] == files
        assert server.begun[before:].count("/v1/classify/batch") == COUNT / 8
        large.write_bytes(bytes(6000))  # refused with all that came with it
        files = names(photos)
        found = [r for batch in RemoteClassifier(policy).run(files, Stop(), 1) for r in batch]
    assert [result.file for result in found] == files
    failed = [result for result in found if isinstance(result, Failed)]
    assert [(result.file, result.code) for result in failed] == [(str(large), "upload_too_large")]
