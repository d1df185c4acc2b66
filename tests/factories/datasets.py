"""Writes small generated data sets in the layouts that training reads; no TensorFlow."""

from __future__ import annotations

import gzip
import struct
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.types import ImageArray

CLASSES = ("bar", "column", "dot")


def draw_class(label: int, side: int, rng: np.random.Generator) -> ImageArray:
    """A bright bar, column or dot on dark noise: ``(side, side)`` grey, easily told apart."""
    image = rng.integers(0, 90, (side, side), dtype=np.uint8)
    third = side // 3
    start = int(rng.integers(0, third))
    band = slice(start, start + max(1, side // 6))
    shapes = (
        (band, slice(None)),
        (slice(None), band),
        (slice(third, 2 * third), slice(third, 2 * third)),
    )
    image[shapes[label]] = rng.integers(180, 255)
    return image


def write_png_folder(
    folder: Path, *, train: int = 6, test: int = 3, side: int = 8, rgb: bool = False
) -> Path:
    """The layout of the CIFAR-10 archive: ``train/N_class.png``, ``test/`` and ``labels.txt``."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            label = number % len(CLASSES)
            image = Image.fromarray(draw_class(label, side, rng))
            name = f"{number}_{CLASSES[label]}.png"
            (image.convert("RGB") if rgb else image).save(folder / part / name)
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder as ``archive``, gzipped, below a folder of its own name."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    return archive


def write_idx(path: Path, array: NDArray[np.uint8]) -> Path:
    """Write one IDX file; gzipped if the name ends so."""
    header = bytes([0, 0, 0x08, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    raw = header + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def write_idx_folder(
    folder: Path, *, train: int = 6, test: int = 3, side: int = 28, suffix: str = ""
) -> Path:
    """The four files of Fashion-MNIST, with classes 0, 1, 2 only."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % len(CLASSES)
        images = np.stack([draw_class(int(label), side, rng) for label in labels])
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)
    return folder
