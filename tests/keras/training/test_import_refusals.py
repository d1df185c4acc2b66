"""What ``keraserve-train import`` refuses, and what it says then."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from keras import layers

from tests.keras.training.foreign_networks import (
    KINDS,
    SIDE,
    command,
    make_network,
    refusal,
    save,
    write_labels,
)

pytestmark = pytest.mark.keras


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_labels(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_lambda_layer_is_refused_with_the_reason(
    kind: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = keras.Input((*SIDE, 3))
    x = layers.Flatten()(layers.Lambda(lambda x: x * 2, name="twice")(image))
    source = save(keras.Model(image, layers.Dense(3, "softmax")(x)), place, kind)

    line = refusal(command(place, source), capsys)

    assert "its layer 'twice' is a Lambda: it carries Python bytecode" in line
    assert "Replace it by layers of Keras" in line


def export_function(folder: Path, function: Any, *, batch: int | None = None) -> Path:
    """Write a SavedModel of ``(N, 4, 4, 3)`` float32 to ``function``'s answer."""
    module = tf.Module()
    module.serve = tf.function(
        function, input_signature=[tf.TensorSpec((batch, 4, 4, 3), tf.float32)]
    )
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def flat(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(tf.reshape(images, (-1, 48))[:, :3])


def reads_a_file(images: tf.Tensor) -> tf.Tensor:
    return flat(images) + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def calls_python(images: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.numpy_function(lambda x: x, [flat(images)], tf.float32), (None, 3))


def writes_in_a_branch(images: tf.Tensor) -> tf.Tensor:
    def write() -> tf.Tensor:
        tf.io.write_file("/tmp/never-written", "x")
        return flat(images)

    return tf.cond(tf.reduce_sum(images) > 1e9, write, lambda: flat(images))


@pytest.mark.parametrize(
    ("function", "operation"),
    [(reads_a_file, "ReadFile"), (calls_python, "PyFunc"), (writes_in_a_branch, "WriteFile")],
)
def test_operation_that_is_no_arithmetic_is_refused_by_name(
    function: Any, operation: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = export_function(place / "theirs", function)

    line = refusal(command(place, source), capsys)

    assert operation in line
    assert "which is not on the list of pure array operations" in line


def test_saved_model_with_a_lookup_table_is_refused_before_it_is_loaded(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tf.Module()
    vocabulary = place / "words.txt"
    vocabulary.write_text("a\nb\n")
    module.table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        1,
    )  # fmt: skip
    module.serve = tf.function(flat, input_signature=[tf.TensorSpec((None, 4, 4, 3), tf.float32)])
    tf.saved_model.save(module, str(place / "theirs"), signatures=module.serve)

    line = refusal(command(place, place / "theirs"), capsys)

    assert "theirs is refused: it " in line
    assert "Export the network alone" in line


def two_outputs() -> keras.Model:
    image = keras.Input((*SIDE, 3))
    x = layers.Flatten()(image)
    return keras.Model(image, [layers.Dense(3, "softmax")(x), layers.Dense(2)(x)])


def as_wide_as(classes: int) -> keras.Model:
    image = keras.Input((*SIDE, 3))
    activation = "sigmoid" if classes == 1 else "softmax"
    return keras.Model(image, layers.Dense(classes, activation)(layers.Flatten()(image)))


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (two_outputs, "has 1 inputs and 2 outputs"),
        (lambda: as_wide_as(4), "the network gives 4 scores, --classes has 3 names"),
        (lambda: as_wide_as(1), "the network gives one value"),
    ],
    ids=["two outputs", "other number of classes", "one value"],
)
def test_network_that_cannot_be_served_is_refused(
    network: Any, message: str, kind: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(command(place, save(network(), place, kind)), capsys)

    assert message in line


def test_network_of_one_batch_size_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = keras.Input(batch_shape=(1, *SIDE, 3))
    network = keras.Model(image, layers.Dense(3, "softmax")(layers.Flatten()(image)))
    graph = export_function(place / "theirs", flat, batch=1)

    for source in (save(network, place, "keras"), graph):
        assert "takes batches of 1 only" in refusal(command(place, source), capsys)


def test_nan_in_the_weights_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = make_network()
    network.layers[-1].bias.assign([0.0, float("nan"), 0.0])
    words = command(place, save(network, place, "saved_model"))

    assert "1 weights are NaN or infinite" in refusal([*words, "--force"], capsys, code=3)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_or_missing_source_is_refused(
    kind: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(make_network(), place, kind)
    file = source / "saved_model.pb" if source.is_dir() else source
    file.write_bytes(file.read_bytes()[:-100] if kind == "h5" else b"damaged")

    assert "cannot be" in (line := refusal(command(place, source), capsys)) or "no readable" in line

    shutil.rmtree(source) if source.is_dir() else source.unlink()
    assert "does not exist" in refusal(command(place, source), capsys)


def test_other_file_is_refused_with_what_can_be_imported(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(command(place, place / "labels.txt"), capsys)

    assert "labels.txt is none of what can be imported: a .keras file" in line
