"""What is refused in the description of a network, read as text."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.errors import ArtifactError
from training.importing.keras_config import check_config, check_keras_file, modernise


def layer(class_name: str, **node: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": "odd"}, **node}


def network(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"module": "keras", "class_name": "Functional", "config": {"layers": list(layers)}}


def test_layers_of_keras_are_let_through() -> None:
    initializer = layer("GlorotUniform", module="keras.initializers", registered_name=None)
    dense = layer("Dense", module="keras.layers", registered_name=None)
    dense["config"]["kernel_initializer"] = initializer

    check_config(network(dense, layer("Add", module="keras.src.ops.numpy")), "file")


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (layer("Lambda", module="keras.layers"), "its layer 'odd' is a Lambda: it carries Python"),
        (layer("Lambda"), "its layer 'odd' is a Lambda"),
        (layer("layers.Lambda", module="keras"), "its layer 'odd' is a Lambda"),
        ({"class_name": "__lambda__", "config": {"value": "4wAA"}}, "is a __lambda__"),
        (layer("TorchModuleWrapper", module="keras.layers"), "another framework"),
        (layer("TFSMLayer", module="keras.layers"), "another framework"),
        (layer("TFOpLambda"), "a call of a TensorFlow function"),
        (layer("Attend", module="my.layers"), r"Attend \(my\.layers\) is a class of your own"),
        (layer("A", module=None, registered_name="mine>A"), r"A \(mine>A\) is a class of your own"),
        (layer("system", module="os"), r"system \(os\) is a class of your own"),
        (layer("X", module="kerasevil"), r"X \(kerasevil\) is a class of your own"),
    ],
    ids=[
        "Lambda of Keras 3",
        "Lambda of Keras 2",
        "Lambda by half of its module",
        "lambda as an argument",
        "PyTorch",
        "SavedModel as a layer",
        "TensorFlow call of Keras 2",
        "class of another module",
        "registered class",
        "function of the system",
        "module that only begins like Keras",
    ],
)
def test_code_is_refused_with_the_reason(node: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArtifactError, match=f"file is refused: .*{reason}"):
        check_config(network(layer("Dense"), node), "file")


def test_code_is_found_at_any_depth() -> None:
    config: Any = layer("Lambda")
    for _ in range(5000):
        config = {"config": [config]}

    with pytest.raises(ArtifactError, match="Lambda"):
        check_config(config, "file")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"config.json": "{}"}, r"no Keras 3 file: it lacks model\.weights\.h5"),
        ({"config.json": "{", "model.weights.h5": ""}, "is no JSON"),
        (None, r"no readable \.keras file"),
    ],
    ids=["without weights", "cut-off description", "no archive"],
)
def test_damaged_file_is_refused(
    members: dict[str, str] | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.keras"
    if members is None:
        path.write_bytes(b"no archive")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)

    with pytest.raises(ArtifactError, match=message):
        check_keras_file(path)


def test_words_of_keras_2_become_those_of_keras_3() -> None:
    config = network(
        {"class_name": "DepthwiseConv2D", "config": {"groups": 1, "kernel_size": [3, 3]}},
        {"class_name": "BatchNormalization", "config": {"axis": [3]}},
    )

    assert modernise(config)
    assert json.loads(json.dumps(config)) == network(
        {"class_name": "DepthwiseConv2D", "config": {"kernel_size": [3, 3]}},
        {"class_name": "BatchNormalization", "config": {"axis": 3}},
    )
    assert not modernise(config)
