"""What is refused in a Keras file: read as text, and looked at before it is unpacked."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from app.artifacts.keras_file import check_config, check_keras_file
from app.artifacts.limits import MAX_DESCRIPTION_BYTES
from app.errors import ArtifactError


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
        (layer("get_file", module="keras.utils"), r"get_file of keras\.utils is no layer"),
        (layer("get_file", module="keras.src.utils.file_utils"), "is no layer"),
        (layer("utils.get_file", module="keras"), r"get_file of keras\.utils is no layer"),
        (layer("enable_unsafe_deserialization", module="keras.config"), "is no layer"),
        (layer("load_model", module="keras.saving"), "is no layer"),
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
        "download",
        "download by its own module",
        "download by half of its module",
        "safe mode turned off",
        "another file loaded",
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


def weights(fill: Callable[[Any], object] | None = None) -> bytes:
    """The content of a file of weights; ``fill`` adds to it."""
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content["layers/dense/vars/0"] = np.zeros((3, 4), np.float32)
        if fill is not None:
            fill(content)
    return file.getvalue()


def keras_file(folder: Path, method: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """Write a file of Keras; ``members`` replace or add to what it has, by names without ending."""
    content = {"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": weights()}
    names = {name.split(".")[0]: name for name in content}
    content |= {names.get(name, name): value for name, value in members.items()}
    path = folder / "a.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_plain_file_is_let_through_packed_or_not(tmp_path: Path, method: int) -> None:
    check_keras_file(keras_file(tmp_path, method))


@pytest.mark.parametrize("name", ["assets/words.txt", "../model.weights.h5", "/etc/passwd"])
def test_unknown_member_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=f"a.keras is refused: it holds '{name}', may hold"):
        check_keras_file(keras_file(tmp_path, zipfile.ZIP_STORED, **{name: b"x"}))


def test_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = keras_file(tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", layer("Lambda")["class_name"])

    with pytest.raises(ArtifactError, match=r"holds 'config\.json' twice"):
        check_keras_file(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(ArtifactError, match="another method than deflate"):
        check_keras_file(keras_file(tmp_path, method))


def test_bomb_is_refused_unpacked_by_nobody(tmp_path: Path) -> None:
    path = keras_file(tmp_path, zipfile.ZIP_DEFLATED, config=b" " * 20_000_000)

    with pytest.raises(
        ArtifactError, match=r"unpacks from 19,4\d\d to 20,000,000 bytes, .* 100 times"
    ):
        check_keras_file(path)


def test_description_above_its_limit_is_refused_by_what_the_directory_claims(
    tmp_path: Path,
) -> None:
    path = keras_file(tmp_path)
    with zipfile.ZipFile(path) as archive:
        (size,) = (m.file_size for m in archive.infolist() if m.filename == "config.json")
    content = path.read_bytes()
    # In the directory the size stands 22 bytes before the name, beside the packed one.
    at = content.rindex(b"config.json") - 22
    assert int.from_bytes(content[at : at + 4], "little") == size
    claim = (MAX_DESCRIPTION_BYTES + 1).to_bytes(4, "little")
    path.write_bytes(content[:at] + claim + content[at + 4 :])

    with pytest.raises(ArtifactError, match=f"{MAX_DESCRIPTION_BYTES + 1:,} bytes, the limit is"):
        check_keras_file(path)


def test_directory_of_a_hundred_thousand_members_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3000):
            archive.writestr(f"{number:040}", b"")

    with pytest.raises(
        ArtifactError, match=r"directory has \d{3},\d{3} bytes, the limit is 131,072"
    ):
        check_keras_file(path)


def external(content: Any) -> None:
    content.create_dataset("secret", (4,), np.uint8, external=[("/etc/hostname", 0, 4)])


def virtual(content: Any) -> None:
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "data", (4,))
    content.create_virtual_dataset("secret", layout)


def link(content: Any) -> None:
    content["secret"] = h5py.ExternalLink("/tmp/other.h5", "/data")


def soft_link(content: Any) -> None:
    content["secret"] = h5py.SoftLink("/secret")


def huge(content: Any) -> None:
    content.create_dataset("secret", (1 << 40,), np.float32, chunks=(1 << 10,))


def inflated(content: Any) -> None:
    content.create_dataset("secret", (1 << 24,), np.float32, chunks=(1 << 10,))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (external, "'/secret' is kept in another file"),
        (virtual, "'/secret' is kept in another file"),
        (link, "'secret' is a link"),
        (soft_link, "'secret' is a link"),
        (huge, r"its arrays have 4,398,\d+,\d+,\d+ bytes, the limit is 4,294,967,296"),
        (inflated, "its arrays unpack from .* the limit is 100 times"),
    ],
)
def test_weights_that_are_no_arrays_of_their_own_are_refused(
    tmp_path: Path, fill: Callable[[Any], object], reason: str, method: int
) -> None:
    path = keras_file(tmp_path, method, model=weights(fill))

    with pytest.raises(ArtifactError, match=reason):
        check_keras_file(path)


def test_circle_of_groups_has_an_end(tmp_path: Path) -> None:
    def circle(content: Any) -> None:
        content["layers/again"] = content["layers"]

    check_keras_file(keras_file(tmp_path, model=weights(circle)))


@pytest.mark.parametrize("cut", [1, 100, 1000])
def test_damaged_weights_are_an_artifact_error(tmp_path: Path, cut: int) -> None:
    content = weights()

    for broken in (content[:-cut], content[:8] + b"\xff" * cut + content[8 + cut :], b""):
        with pytest.raises(ArtifactError, match=r"a\.keras"):
            check_keras_file(keras_file(tmp_path, model=broken))
