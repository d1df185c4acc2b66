"""The same network as a SavedModel, for the peers that cannot read ``.keras``.

    python -m benchmarks.saved_model model.keras FOLDER

runs in a process of its own: TensorFlow must not sit in the process that takes the times.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

LABELS = "labels.json"


def _in_float32(config: Any) -> Any:
    """Copy a Keras configuration with every dtype policy replaced by float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return config | {"config": {"name": "float32"}}
        return {key: _in_float32(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(value) for value in config)
    return config


def export(model_file: Path, folder: Path) -> None:
    """Write ``model_file`` to ``folder``: one signature, ``serving_default``, in float32.

    A network that was trained in bfloat16 keeps its weights in float32; computing in anything
    else than what Keraserve is asked to compute in would not be the same work.
    """
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    trained = keras.saving.load_model(model_file, compile=False)
    model = type(trained).from_config(_in_float32(trained.get_config()))
    model.set_weights(trained.get_weights())
    # The weights as constants, as Keraserve's engine has them: oneDNN then packs each kernel once
    # instead of in every call, and no peer has to know (benchmarks/README.md, "weights").
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="images")
    traced = tf.function(lambda images: model(images, training=False), input_signature=[spec])
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
    module = tf.Module()
    module.serve = tf.function(
        lambda images: {"scores": tf.reshape(frozen(images)[0], (-1, model.output_shape[-1]))},
        input_signature=[spec],
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})


def ensure_saved_model(model_file: Path, labels: list[str], cache: Path) -> Path:
    """Return the export of ``model_file`` in ``cache``, made now if it is not there.

    Args:
        model_file: The published ``model.keras``.
        labels: Class names in the order of the scores, written beside the export.
        cache: Folder of exports, one per content of the model file.
    """
    content = model_file.read_bytes() + json.dumps(labels).encode()
    # An export made by an earlier state of this file is another one.
    fingerprint = hashlib.sha256(content + Path(__file__).read_bytes())
    folder = cache / fingerprint.hexdigest()[:16]
    if (folder / LABELS).is_file():
        return folder
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, "-m", __name__, str(model_file), str(unfinished)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        tail = "\n".join(result.stderr.splitlines()[-15:])
        raise RuntimeError(f"{model_file} could not be exported as a SavedModel:\n{tail}")
    (unfinished / LABELS).write_text(json.dumps(labels), encoding="utf-8")
    unfinished.rename(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_file", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    export(options.model_file, options.folder)


if __name__ == "__main__":
    main()
