"""What Keras computes with: one backend for each process, chosen before Keras is imported."""

from __future__ import annotations

import os
import sys
from typing import Literal

from app.errors import ArtifactError

KerasBackend = Literal["tensorflow", "jax"]
"""Both are names of engines as well."""


def choose_backend(name: KerasBackend) -> None:
    """Have Keras compute with ``name`` in this process, whatever ``KERAS_BACKEND`` says.

    Importing TensorFlow imports Keras, so that this comes before TensorFlow, too.

    Raises:
        ArtifactError: Keras was imported with another backend already, which it keeps.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = name
        return
    import keras

    present = keras.backend.backend()
    if present != name:
        raise ArtifactError(
            f"the {name} engine is not possible here: Keras computes with {present} in this "
            f"process already, and keeps to it. Use KERASERVE_ENGINE={present} for all versions, "
            f"or serve this one by a process of its own with KERASERVE_ENGINE={name}"
        )
