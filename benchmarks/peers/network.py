"""What every peer serves: the same SavedModel, called the fastest way that TensorFlow has for it.

Runs in the environments of the peers, on Python 3.11 and NumPy 1 or 2, and imports nothing of
Keraserve. How images get together in a batch is the peer's own business.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

TOP_K = 5

Prediction = dict[str, "str | float"]


class Network:
    """The SavedModel: one signature, called on a tensor.

    ``model.predict`` costs more than the network for small batches. The exported weights are
    constants, with which oneDNN packs each kernel once instead of in every call.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        """Load.

        Args:
            folder: The SavedModel, with ``labels.json`` beside it.
            threads: Of TensorFlow within one operation; 0: as many as there are cores.
        """
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        # A network without branches has one operation to run at a time.
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.labels: list[str] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        self._loaded = tf.saved_model.load(str(folder))
        self._signature = self._loaded.signatures["serving_default"]
        ((self._input, spec),) = self._signature.structured_input_signature[1].items()
        self._output = next(iter(self._signature.structured_outputs))
        self.shape: tuple[int, int, int] = tuple(spec.shape[1:])  # (H, W, C)

    def scores(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(N, K)`` float32, rows sum to 1, of ``(N, H, W, C)`` uint8, 0..255."""
        scores: NDArray[np.float32] = self._signature(**{self._input: tf.constant(batch)})[
            self._output
        ].numpy()
        return scores

    def classify(self, images: list[NDArray[np.uint8]]) -> list[list[Prediction]]:
        """Return the best five classes of each ``(H, W, C)`` uint8 image, best first."""
        scores = self.scores(np.stack(images))
        best = np.argsort(-scores, axis=1)[:, :TOP_K]  # (N, 5)
        return [
            [{"label": self.labels[k], "score": float(row[k])} for k in order]
            for row, order in zip(scores, best, strict=True)
        ]

    def decode(self, content: bytes) -> NDArray[np.uint8]:
        """Return the ``(H, W, C)`` uint8 pixels of an encoded image."""
        return self.pixels(Image.open(io.BytesIO(content)))

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return the ``(H, W, C)`` uint8 pixels of an opened image; this is what decodes it."""
        height, width, channels = self.shape
        image = image.convert("RGB" if channels == 3 else "L")
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(self.shape)

    def warm_up(self, max_batch_size: int) -> None:
        """Execute every batch size once: oneDNN prepares its kernels per shape."""
        image = np.zeros(self.shape, np.uint8)
        for size in range(1, max_batch_size + 1):
            self.classify([image] * size)


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every peer has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--saved-model", type=Path, required=True, help="folder with labels.json")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--max-batch-size", type=int, default=64, help="images per execution")
    parser.add_argument("--threads", type=int, default=0, help="of TensorFlow per operation")
    return parser
