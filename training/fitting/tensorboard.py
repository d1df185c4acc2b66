"""Writes what TensorBoard shows of a run: curves, pictures, the confusion matrix, the graph.

Through ``tf.summary`` alone. ``keras.callbacks.TensorBoard`` would read the figures back from the
device after every step, counts epochs from 0, names learning rate and durations like metrics, and
writes no graph with Keras 3.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from app.types import ImageArray, ScoreArray
from training.data.dataset import Dataset
from training.evaluation.evaluate import evaluate
from training.evaluation.picture_plots import sample_predictions_png
from training.evaluation.plots import confusion_matrix_png
from training.evaluation.study import Examples
from training.fitting.callbacks import Observer

TRAIN, VALIDATION = "train", "validation"
"""Two runs of TensorBoard: their curves of one name share a chart."""

PICTURES = 24
"""Of each kind: they fill the width of the page twice, and cost some 100 kB an epoch."""


class TensorBoardLogs(Observer):
    """Logs epochs, counted from 1; a resumed run appends to what is there.

    Each epoch is written once its state is saved, so that a killed run repeats no point. What
    never changes (the graph, augmented images) is written when the folder is empty.
    """

    def __init__(
        self, folder: Path, dataset: Dataset, first_batch: Callable[[], ImageArray]
    ) -> None:
        """Write below ``folder``, which is made with the first entry.

        Args:
            folder: One sub-folder for training, one for validation.
            dataset: What is trained on; its validation images are shown.
            first_batch: Gives ``(N, H, W, C)`` uint8, images as the network learns from them.
        """
        super().__init__()
        self._folder = folder
        self._dataset = dataset
        self._first_batch = first_batch
        self._writers: dict[str, Any] = {}
        by_class = np.argsort(dataset.validation.labels, kind="stable")
        count = min(PICTURES, len(by_class))
        self._rows = by_class[np.linspace(0, len(by_class) - 1, count, dtype=np.intp)]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Write what is the same for the whole run, unless an earlier session did."""
        if any(self._folder.glob("*/events.*")):
            return
        with self._writer(TRAIN).as_default(step=0):
            tf.summary.graph(_graph(self.model))
            images = self._first_batch()[:PICTURES]
            tf.summary.image("augmented", images, max_outputs=PICTURES)
        self._flush()

    def on_validation_end(self, epoch: int, scores: ScoreArray) -> None:
        """Draw the confusion matrix and some predictions from scores that are there already."""
        validation, names = self._dataset.validation, self._dataset.classes
        evaluation = evaluate(scores, validation.labels, names)
        rows = self._rows
        examples = Examples(validation.images[rows], validation.labels[rows], scores[rows])
        predictions = sample_predictions_png(examples, names)
        with self._writer(VALIDATION).as_default(step=epoch + 1):
            tf.summary.image("confusion matrix", _picture(confusion_matrix_png(evaluation)))
            tf.summary.image("predictions", _picture(predictions))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the figures of the epoch, and make all of it seen."""
        logs = logs or {}
        figures = {
            TRAIN: {
                "loss": logs["loss"],
                "accuracy": logs["accuracy"],
                "learning rate": logs["learning_rate"],
                "images per second": len(self._dataset.train) / logs["train_s"],
            },
            VALIDATION: {"loss": logs["val_loss"], "accuracy": logs["val_accuracy"]},
        }
        for part, values in figures.items():
            with self._writer(part).as_default(step=epoch + 1):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
        self._flush()

    def close(self) -> None:
        """Write what is left, and close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, part: str) -> Any:
        if part not in self._writers:
            self._writers[part] = tf.summary.create_file_writer(str(self._folder / part))
        return self._writers[part]

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()


def _graph(network: Any) -> Any:
    """Trace the network as it is evaluated."""
    signature = tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)
    run = tf.function(lambda images: network(images, training=False))
    return run.get_concrete_function(signature).graph


def _picture(png: bytes) -> Any:
    """Return ``(1, H, W, 3)`` uint8."""
    return tf.io.decode_png(png, channels=3)[None]
