"""Who watches a fit: progress for a person, and TensorBoard's logs."""

from __future__ import annotations

from app.types import ImageArray
from training.config import RunConfig
from training.data.dataset import Dataset
from training.fitting.batches import TrainingBatches
from training.fitting.callbacks import Observer
from training.fitting.progress import progress
from training.fitting.run_directory import RunDirectory
from training.fitting.tensorboard import TensorBoardLogs


def observers(run: RunDirectory, config: RunConfig, dataset: Dataset) -> list[Observer]:
    """Return what ``fit`` is to tell of its epochs and batches.

    Args:
        run: TensorBoard's logs go there.
        config: The run.
        dataset: What it learns from.
    """

    def first_batch() -> ImageArray:
        batches = TrainingBatches(
            dataset.train,
            len(dataset.classes),
            config.augmentation,
            batch_size=config.fit.batch_size,
            seed=config.fit.seed,
        )
        return batches[0][0]

    return [
        progress(
            epochs=config.fit.epochs,
            images=len(dataset.train),
            batch_size=config.fit.batch_size,
        ),
        TensorBoardLogs(run.tensorboard, dataset, first_batch),
    ]
