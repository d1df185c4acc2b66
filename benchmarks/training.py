"""``python -m benchmarks.training``: what the input pipeline costs a training.

Our own fit, with the augmentation, the observers and the callbacks of a shipped configuration,
against a plain ``model.fit`` on arrays in memory without any of them: the same network, optimiser,
loss, precision and batch size. Epochs of the two alternate in one process, a plain one before and
one after each of ours. Only the steps are timed; validation and saving are listed beside them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from app.types import InputSpec
from benchmarks.processors import machine_line
from benchmarks.report import Table, number, spread
from training.architectures import build_network
from training.config import RunConfig
from training.config_file import ConfigError, load_config
from training.data.dataset import Dataset, Split
from training.data.loading import load_dataset
from training.fitting.callbacks import Observer
from training.fitting.hardware import preferred_precision
from training.fitting.observers import observers
from training.fitting.optimizers import make_optimizer
from training.fitting.run_directory import RunDirectory
from training.fitting.train import fit

TARGET = 0.95
CLASSES = 10
_VALIDATION_SHARE = 0.1
_ONE_PHASE = ("fit.plain_epochs=0", "fit.frozen_epochs=0", "fit.early_stopping_epochs=0")
"""All rounds are epochs of the main phase, which the plain fit can repeat."""


@dataclass(slots=True)
class Measured:
    """Speeds in images/s; the first epoch of each side, which compiles, is not among them.

    Attributes:
        ours: Of each round.
        plain: One more: before the first round and after each.
        borders_s: What validation, saving and logging took at the end of each of our epochs.
    """

    ours: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    borders_s: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Ours over the mean of its two neighbours, so that a steady drift meets both alike."""
        around = zip(self.plain, self.plain[1:], strict=False)
        return [
            ours * 2 / (before + after)
            for ours, (before, after) in zip(self.ours, around, strict=True)
        ]


class PlainFit:
    """``model.fit`` on arrays, an epoch at a time."""

    def __init__(self, config: RunConfig, dataset: Dataset, precision: str) -> None:
        self._images = dataset.train.images
        self._labels = np.eye(CLASSES, dtype=np.float32)[dataset.train.labels]
        self._batch_size = config.fit.batch_size
        self._model = build_network(
            config.architecture, dataset.spec.shape, CLASSES, precision=precision
        )
        steps = -(-len(dataset.train) // config.fit.batch_size)
        self._model.compile(
            optimizer=make_optimizer(
                config,
                peak=config.optimizer.learning_rate,
                epochs=config.fit.epochs,
                steps=steps,
            ),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.fit.label_smoothing),
            metrics=["accuracy"],
        )

    def epoch(self) -> float:
        """Train one epoch; return images/s."""
        watch = StopWatch()
        self._model.fit(
            self._images,
            self._labels,
            batch_size=self._batch_size,
            epochs=1,
            verbose=0,
            callbacks=[watch],
        )
        return len(self._images) / watch.elapsed_s


class StopWatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Times the steps of an epoch as our own fit does: from its begin to its end."""

    elapsed_s = 0.0
    _started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.elapsed_s = time.monotonic() - self._started


class Rounds(Observer):
    """The last observer of our fit: after each of its epochs it has the plain fit do one."""

    def __init__(self, plain: PlainFit, images: int, measured: Measured) -> None:
        super().__init__()
        self._plain = plain
        self._images = images
        self._measured = measured
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        train_s = (logs or {})["train_s"]
        border_s = time.monotonic() - self._started - train_s
        if epoch == 0:  # both have compiled now
            self._plain.epoch()
        else:
            self._measured.ours.append(self._images / train_s)
            self._measured.borders_s.append(border_s)
        self._measured.plain.append(self._plain.epoch())


def measure(config: RunConfig, dataset: Dataset, precision: str) -> Measured:
    """Train the configuration's epochs; the first one is the warm-up."""
    measured = Measured()
    plain = PlainFit(config, dataset, precision)
    with tempfile.TemporaryDirectory(prefix="keraserve-bench-") as place:
        run = RunDirectory(Path(place))
        watching = observers(run, config, dataset)
        fit(
            config,
            dataset,
            run,
            observers=[*watching, Rounds(plain, len(dataset.train), measured)],
            strategy=tf.distribute.get_strategy(),  # one device for both
        )
    return measured


def generated(images: int) -> Dataset:
    """Pictures of CIFAR-10's shape: what they show does not change how long they take."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        pixels = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        return Split(pixels, np.arange(count) % CLASSES)

    held_out = split(max(CLASSES, round(images * _VALIDATION_SHARE)))
    return Dataset(
        name="generated",
        classes=tuple(f"class {number}" for number in range(CLASSES)),
        spec=InputSpec(32, 32, 3),
        train=split(images),
        validation=held_out,
        test=held_out,
        fingerprint="",
    )


def real(config: RunConfig, path: Path, images: int) -> Dataset:
    """The first images of a copy of CIFAR-10."""
    whole = load_dataset(config.data, path, seed=config.fit.seed)
    held_out = whole.validation.take(np.arange(max(CLASSES, round(images * _VALIDATION_SHARE))))
    return Dataset(
        name=whole.name,
        classes=whole.classes,
        spec=whole.spec,
        train=whole.train.take(np.arange(min(images, len(whole.train)))),
        validation=held_out,
        test=held_out,
        fingerprint=whole.fingerprint,
    )


def table(measured: Measured) -> Table:
    """Return one row per round, and the medians."""
    rows = [
        (str(round_), number(ours), number((before + after) / 2), f"{ratio:.3f}")
        for round_, (ours, before, after, ratio) in enumerate(
            zip(measured.ours, measured.plain, measured.plain[1:], measured.ratios, strict=False), 1
        )
    ]
    middle = spread(measured.ratios)
    medians = (
        "median",
        number(spread(measured.ours).middle),
        number(spread(measured.plain).middle),
        f"{middle.middle:.3f} ({middle.least:.3f} to {middle.most:.3f})",
    )
    return Table(
        "training steps, images/s", ("round", "ours", "model.fit", "ratio"), [*rows, medians]
    )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=5, help="measured epochs of each side")
    parser.add_argument("--images", type=_positive, default=4096, help="of one epoch")
    parser.add_argument("--config", default="cifar10", help="of CIFAR-10's shape, by name or path")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting"
    )
    parser.add_argument(
        "--data", type=Path, help="a copy of CIFAR-10; without it pictures are generated"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if the target is missed")
    return parser.parse_args()


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def main() -> int:
    options = parse_options()
    lengths = [f"fit.epochs={options.rounds + 1}", *_ONE_PHASE]
    try:
        config = load_config(options.config, [*options.set, *lengths])
    except ConfigError as error:
        print(f"benchmarks.training: {error}", file=sys.stderr)
        return 2
    precision = preferred_precision() if config.fit.precision == "auto" else config.fit.precision
    if options.data:
        dataset = real(config, options.data, options.images)
    else:
        dataset = generated(options.images)
    measured = measure(config, dataset, precision)
    print(machine_line())
    print(
        f"{config.architecture.name}, {precision}, batches of {config.fit.batch_size}, "
        f"{len(dataset.train)} images ({dataset.name}), {config.augmentation!r}\n"
    )
    print(table(measured).as_text())
    print(
        f"\nper epoch beside the steps: validation of {len(dataset.validation)} images, "
        f"checkpoint and logs {spread(measured.borders_s)} s"
    )
    ratio = spread(measured.ratios).middle
    print(f"ratio {ratio:.3f}, {'met' if ratio >= TARGET else 'missed'} (at least {TARGET})")
    return 1 if options.strict and ratio < TARGET else 0


if __name__ == "__main__":
    sys.exit(main())
