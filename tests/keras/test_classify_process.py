"""``keraserve classify`` as a process, with a model that the repository carries."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.factories.images import encode, noise_image
from tests.keras.server_process import PATIENCE_S, ROOT

pytestmark = [pytest.mark.keras, pytest.mark.timeout(300)]

COUNT = 120
MODELS = ROOT / "models"


def write_photos(folder: Path) -> Path:
    folder.mkdir()
    for seed in range(COUNT):
        (folder / f"{seed:03}.png").write_bytes(encode(noise_image(32, 32, seed=seed), "PNG"))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def start(*arguments: object, **settings: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "app", "classify", "--model-dir", str(MODELS)]
    environment = {key: value for key, value in os.environ.items() if "KERASERVE" not in key}
    # One engine and precision, so that two runs give the same digits.
    environment |= {
        "KERASERVE_ENGINE": "openvino", "KERASERVE_PRECISION": "float32",
        "KERASERVE_MAX_BATCH_SIZE": "4",
    }  # fmt: skip
    environment |= settings
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(*arguments: object, given: bytes = b"", **settings: str) -> tuple[int, str, str]:
    process = start(*arguments, **settings)
    out, err = process.communicate(given, PATIENCE_S)
    return process.returncode, out.decode(), err.decode()


def answers(path: Path, form: str) -> list[tuple[str, str, float]]:
    """File, best label and its score of each whole row."""
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    if form == "csv":
        return [(row["file"], row["label"], float(row["score"])) for row in csv.DictReader(lines)]
    rows = map(json.loads, lines)
    best = [(row["file"], row["predictions"][0]) for row in rows]
    return [(file, found["label"], found["score"]) for file, found in best]


@dataclass(frozen=True)
class Undisturbed:
    """The form of a run that went to its end, and its rows in the order of the files."""

    form: str
    rows: list[tuple[str, str, float]]


@pytest.fixture(scope="module", params=["jsonl", "csv"])
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    place = tmp_path_factory.mktemp("undisturbed")
    photos, output = write_photos(place / "photos"), place / "out"
    assert run(photos, "--format", request.param, "--output", output)[0] == 0
    rows = answers(output, request.param)
    assert [file for file, _, _ in rows] == [str(path) for path in sorted(photos.iterdir())]
    return Undisturbed(request.param, rows)


def test_files_are_classified_without_a_server(photos: Path) -> None:
    (photos / "050x.png").write_text("no image")

    code, out, err = run(photos, "--format", "jsonl", "--top-k", 2)

    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["file"] for row in rows] == [str(path) for path in sorted(photos.iterdir())]
    (broken,) = [row for row in rows if "error" in row]
    assert broken["error"]["code"] == "unsupported_format"
    assert all(len(row["predictions"]) == 2 for row in rows if "error" not in row)
    assert code == 1
    assert f"{COUNT} classified, 1 broken in" in err
    assert "050x.png: The file is not a known image" in err
    assert "accuracy" not in err


def test_image_comes_from_the_standard_input() -> None:
    code, out, _ = run("-", given=encode(noise_image(32, 32, seed=1), "PNG"))
    assert code == 0
    assert out.splitlines()[1].split()[2] == "-"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_run_that_is_ended_in_the_middle_goes_on_without_doubles_or_holes(
    photos: Path, tmp_path: Path, number: signal.Signals, undisturbed: Undisturbed
) -> None:
    output, form = tmp_path / "out", undisturbed.form
    names = [str(path) for path in sorted(photos.iterdir())]
    # Whoever opens this file waits until the test has opened it, too: in the middle of the run.
    # The files are named one by one: of a folder, no pipe is read.
    gate = photos / "060.png"
    content = gate.read_bytes()
    gate.unlink()
    os.mkfifo(gate)

    process = start(*names, "--format", form, "--output", output, "--resume")
    with gate.open("wb") as pipe:
        process.send_signal(number)
        if number is signal.SIGKILL:
            process.wait(PATIENCE_S)
        else:
            pipe.write(content)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == (-number if number is signal.SIGKILL else 128 + number)
    if number is not signal.SIGKILL:
        assert "--resume goes on with it" in err.decode()
    done = answers(output, form)
    assert 10 < len(done) < COUNT - 20
    assert [file for file, _, _ in done] == names[: len(done)]
    gate.unlink()
    gate.write_bytes(content)
    assert run(*names, "--format", form, "--output", output, "--resume")[0] == 0
    found, wanted = answers(output, form), undisturbed.rows
    assert [file for file, _, _ in found] == names
    assert [label for _, label, _ in found] == [label for _, label, _ in wanted]
    # The last digits depend on how many images are executed together.
    scores = [score for _, _, score in wanted]
    assert [score for _, _, score in found] == pytest.approx(scores, abs=1e-5)


def test_second_signal_does_not_wait_for_what_hangs(photos: Path, tmp_path: Path) -> None:
    gate = photos / "060.png"
    gate.unlink()
    os.mkfifo(gate)
    process = start(*sorted(photos.iterdir()), "--format", "jsonl", "--output", tmp_path / "out")
    with gate.open("wb"):  # it waits for content, which never comes
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    # Two signals at once may be seen in either order.
    assert process.returncode in (-signal.SIGTERM, -signal.SIGINT)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has prlimit")
@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_full_disk_ends_it_with_what_could_be_written(
    photos: Path, tmp_path: Path, form: str
) -> None:
    output = tmp_path / "out"
    # Every write beyond this fails in the kernel, as on a full disk.
    limited = ["prlimit", "--fsize=8000", sys.executable, "-m", "app", "classify"]
    words = [*limited, "--model-dir", MODELS, photos, "--format", form, "--output", output]
    done = subprocess.run(
        list(map(str, words)), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    assert f"{output} cannot be written: File too large" in done.stderr
    if form == "json":
        assert sorted(tmp_path.iterdir()) == [photos]
        return
    assert 0 < output.stat().st_size <= 8000
    assert run(photos, "--format", form, "--output", output, "--resume")[0] == 0
    names = [str(path) for path in sorted(photos.iterdir())]
    assert [file for file, _, _ in answers(output, form)] == names


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_full_disk_behind_the_standard_output_is_told(photos: Path) -> None:
    words = [sys.executable, "-m", "app", "classify", "--model-dir", MODELS, photos]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            list(map(str, words)),
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines() == [
        "keraserve: the standard output cannot be written: No space left on device"
    ]


@pytest.mark.parametrize("form", ["table", "json"])
def test_whole_file_that_is_ended_in_the_middle_has_what_was_done(
    photos: Path, tmp_path: Path, form: str
) -> None:
    output = tmp_path / "out"
    gate = photos / "060.png"
    gate.unlink()
    os.mkfifo(gate)
    process = start(*sorted(photos.iterdir()), "--format", form, "--output", output)
    with gate.open("wb"):
        assert not output.exists()
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    text = output.read_text()
    assert "030.png" in text
    assert "100.png" not in text
    if form == "json":
        assert json.loads(text)["results"]


def test_reader_that_has_enough_ends_it_quietly(photos: Path) -> None:
    process = start(photos, "--format", "jsonl")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b'{"file"')
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=PATIENCE_S)
    assert b"Traceback" not in err


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    """400 MB of files, and of pixels 800, in a process that needs some 200 for itself."""
    first = tmp_path / "many" / "0.png"
    first.parent.mkdir()
    first.write_bytes(encode(noise_image(512, 512, seed=1), "PNG"))
    for number in range(1, 500):
        (first.parent / f"{number}.png").hardlink_to(first)

    def peak_bytes(path: Path) -> int:
        process = start(path, KERASERVE_MAX_BATCH_SIZE="16")
        assert process.stdout is not None
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.communicate()
        assert process.returncode == 0
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    assert peak_bytes(first.parent) - peak_bytes(first) < 100 * 2**20
