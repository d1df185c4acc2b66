"""``keraserve-train samples``: files of labelled test images for the service."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.labelled_samples import (
    LabelledSamples,
    read_labelled_samples,
    write_labelled_samples,
)
from app.artifacts.manifest import read_manifest
from app.artifacts.samples import MAX_SAMPLES
from tests.factories.datasets import (
    CLASSES,
    write_class_folders,
    write_idx_folder,
    write_png_folder,
)
from tests.factories.versions import edit_manifest, make_version
from training.cli import main
from training.commands.samples import handle
from training.data.dataset import DataError, Split
from training.data.public import CIFAR10_CLASSES, FASHION_MNIST_CLASSES

CONFIG = """\
name = "shapes"
[data]
dataset = "images"
input = {{ height = 8, width = 8, channels = {channels} }}
[architecture]
name = "fashion_mnist_cnn"
[fit]
epochs = 1
seed = 5
"""


def make(*words: str | Path) -> int:
    return main(["samples", *map(str, words)])


def own_config(folder: Path, channels: int = 1) -> Path:
    path = folder / "shapes.toml"
    path.write_text(CONFIG.format(channels=channels), encoding="utf-8")
    return path


class Server:
    """Stands for the public sources, and counts how often they are asked."""

    def __init__(self, count: int = 20, fault: str | None = None) -> None:
        rng = np.random.default_rng(0)
        self.asked: list[str] = []
        self.test = Split(
            rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), np.arange(count) % 10
        )
        self._fault = fault

    def __call__(self, name: str, folder: Path) -> Split:
        self.asked.append(name)
        assert folder.is_dir()
        if self._fault is not None:
            raise DataError(self._fault)
        return self.test


def make_from(server: Server, output: Path, name: str = "cifar10", *, fresh: bool = False) -> int:
    arguments = argparse.Namespace(
        name=name, data=None, output=output, fresh=fresh, models_dir=output / "models"
    )
    return handle(arguments, server)


# ---- from a local copy ------------------------------------------------------------------------


def test_public_set_from_a_local_copy_keeps_order_and_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_idx_folder(tmp_path / "data", train=30, test=20)
    assert make("fashion_mnist", "--data", data, "--output", tmp_path / "out") == 0
    path = tmp_path / "out" / "fashion_mnist.npz"
    samples = read_labelled_samples(path)
    assert samples.classes == FASHION_MNIST_CLASSES
    assert samples.labels.tolist() == [*range(10)] * 2
    assert samples.images.shape == (20, 28, 28, 1)
    assert capsys.readouterr().out == f"made {path}: 20 images of 10 classes\n"


def test_set_of_ones_own_is_named_by_its_configuration(tmp_path: Path) -> None:
    data = write_png_folder(tmp_path / "data", train=9, test=6)
    assert make(own_config(tmp_path), "--data", data, "--output", tmp_path) == 0
    samples = read_labelled_samples(tmp_path / "shapes.npz")
    assert (samples.classes, samples.labels.tolist()) == (CLASSES, [0, 1, 2] * 2)


def test_version_in_the_store_says_what_its_data_are(tmp_path: Path) -> None:
    data = write_png_folder(tmp_path / "data", train=9, test=6, rgb=True)
    folder = make_version(tmp_path / "models", "mine")
    record = read_manifest(folder).training.model_dump(mode="json")
    config = {
        "name": "mine",
        "data": {"dataset": "images", "input": {"height": 8, "width": 8, "channels": 3}},
        "architecture": {"name": "fashion_mnist_cnn"},
        "fit": {"epochs": 1},
    }
    record |= {"dataset": "images", "config": config}
    edit_manifest(folder, training=record, classes=CLASSES)
    words = ("--models-dir", tmp_path / "models", "--data", data, "--output", tmp_path)
    assert make("mine", *words) == 0
    assert read_labelled_samples(tmp_path / "mine.npz").images.shape == (6, 8, 8, 3)


def test_imported_version_gets_samples_in_the_order_of_its_classes(tmp_path: Path) -> None:
    data = write_class_folders(
        tmp_path / "data", classes=("cat", "dog", "frog"), parts={"train": 3, "test": 2}, size=8
    )
    folder = make_version(tmp_path / "models", "theirs")
    record = read_manifest(folder).training.model_dump(mode="json") | {"dataset": "imported"}
    edit_manifest(folder, training=record, classes=("frog", "cat", "dog"))
    words = ("--models-dir", tmp_path / "models", "--output", tmp_path)
    assert make("theirs", "--data", data, *words) == 0
    samples = read_labelled_samples(tmp_path / "theirs.npz")
    assert samples.classes == ("frog", "cat", "dog")
    assert samples.labels.tolist() == [1, 1, 2, 2, 0, 0]


def test_larger_set_is_cut_to_what_a_file_may_have_with_every_class(tmp_path: Path) -> None:
    server = Server(MAX_SAMPLES + 5)
    assert make_from(server, tmp_path) == 0
    samples = read_labelled_samples(tmp_path / "cifar10.npz")
    assert len(samples) == MAX_SAMPLES
    assert np.bincount(samples.labels).tolist() == [1000] * 10


# ---- from the public sources ------------------------------------------------------------------


def test_public_test_set_is_downloaded_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, path = Server(), tmp_path / "out" / "cifar10.npz"
    assert make_from(server, tmp_path / "out") == 0
    first = path.stat().st_ino
    samples = read_labelled_samples(path)
    np.testing.assert_array_equal(samples.images, server.test.images)
    np.testing.assert_array_equal(samples.labels, server.test.labels)
    assert samples.classes == CIFAR10_CLASSES
    assert "made" in capsys.readouterr().out

    assert make_from(server, tmp_path / "out") == 0
    assert (server.asked, path.stat().st_ino) == (["cifar10"], first)
    assert capsys.readouterr().out == (f"{path} is there: 20 images; --fresh downloads it again\n")
    assert make_from(server, tmp_path / "out", fresh=True) == 0
    assert server.asked == ["cifar10"] * 2


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def replace(path: Path) -> None:
    samples = read_labelled_samples(path)
    write_labelled_samples(
        path, LabelledSamples(samples.images, samples.labels, FASHION_MNIST_CLASSES)
    )


@pytest.mark.parametrize("spoil", [damage, replace, Path.unlink])
def test_file_that_is_not_the_model_s_is_made_anew(tmp_path: Path, spoil: object) -> None:
    server = Server()
    assert make_from(server, tmp_path) == 0
    assert callable(spoil)
    spoil(tmp_path / "cifar10.npz")
    assert make_from(server, tmp_path) == 0
    assert server.asked == ["cifar10"] * 2
    assert read_labelled_samples(tmp_path / "cifar10.npz").classes == CIFAR10_CLASSES


def test_without_a_network_it_says_what_to_do_and_leaves_what_is_there(tmp_path: Path) -> None:
    assert make_from(Server(), tmp_path) == 0
    before = (tmp_path / "cifar10.npz").read_bytes()
    with pytest.raises(DataError) as caught:
        make_from(Server(fault="no route to host"), tmp_path, fresh=True)
    for part in ("no route to host", "samples cifar10 --data PATH", "make samples", "DATA=PATH"):
        assert part in str(caught.value)
    assert (tmp_path / "cifar10.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10.npz"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["images"], ["'images' has no public source", "--data"]),
        (["nothing"], ["'nothing'", "cifar10, fashion_mnist", "no version"]),
        (["cifar10", "--data", "none"], ["none does not exist (--data)"]),
    ],
    ids=["no source", "no model", "no data"],
)
def test_what_cannot_be_made_exits_2_with_one_line(
    words: Sequence[str], parts: Sequence[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = make(*words, "--output", tmp_path / "out", "--models-dir", tmp_path / "models")
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keraserve-train: ")
    for part in parts:
        assert part in line
    assert not list(tmp_path.glob("out/*"))


def test_nothing_but_what_make_samples_installs_is_needed(tmp_path: Path) -> None:
    data = write_idx_folder(tmp_path / "data", train=30, test=20)
    absent = ("keras", "tensorflow", "sklearn", "matplotlib", "openvino", "scipy", "tensorboard")
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({absent!r}))\n"  # importing one of them fails
        "from training.cli import main\n"
        f"words = ['--data', {str(data)!r}, '--output', {str(tmp_path)!r}]\n"
        "sys.exit(main(['samples', 'fashion_mnist', *words]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert done.returncode == 0
    assert len(read_labelled_samples(tmp_path / "fashion_mnist.npz")) == 20


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "place", "shape"),
    [
        ("cifar10", "cifar.tgz", (10_000, 32, 32, 3)),
        ("fashion_mnist", "fashion-mnist", (10_000, 28, 28, 1)),
    ],
)
def test_shipped_models_get_the_whole_public_test_set(
    tmp_path: Path, name: str, place: str, shape: tuple[int, ...]
) -> None:
    folder = os.environ.get("TEST_DATA_DIR")
    if folder is None:
        pytest.skip("TEST_DATA_DIR is not set: it names a folder of cifar.tgz and fashion-mnist/")
    assert make(name, "--data", Path(folder) / place, "--output", tmp_path) == 0
    samples = read_labelled_samples(tmp_path / f"{name}.npz")
    assert samples.images.shape == shape
    assert np.bincount(samples.labels).tolist() == [1000] * 10
    shipped = read_manifest(Path(__file__).parents[4] / "models" / name / "4")
    assert samples.classes == shipped.classes
