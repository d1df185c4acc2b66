"""Writes small generated data sets in the layouts that training reads; no TensorFlow."""

from __future__ import annotations

import gzip
import math
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

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


def write_class_folders(
    folder: Path,
    *,
    classes: Sequence[str] = ("circle", "square", "stripes"),
    per_class: int = 30,
    parts: Mapping[str, int] | None = None,
    size: int = 48,
    suffix: str = "jpg",
    seed: int = 0,
) -> Path:
    """Real image files in one folder per class, such as people bring.

    Random colours, places, sizes and noise, bright on dark: no single pixel tells the classes
    apart, but a small network learns them from thirty pictures each.

    Args:
        folder: Where; made if needed.
        classes: Names of the folders. A shape is drawn by its name, other names get one each.
        per_class: Pictures of each class.
        parts: Folders above those of the classes, with the pictures of each class in them; the
            name ``""`` puts the class folders into ``folder`` itself. None is
            ``{"train": per_class}``.
        size: Side, px.
        suffix: Decides the file format.
        seed: Other seeds draw other pictures.
    """
    rng = np.random.default_rng(seed)
    others = list(_SHAPES.values())
    for part, count in (parts if parts is not None else {"train": per_class}).items():
        for index, name in enumerate(classes):
            draw = _SHAPES.get(name, others[index % len(others)])
            place = folder / part / name
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                _draw_picture(draw, size, rng).save(place / f"{name}_{number:04}.{suffix}")
    return folder


_Point = tuple[float, float]
_Shape = Callable[[ImageDraw.ImageDraw, _Point, float, tuple[int, ...]], None]


def _circle(canvas: ImageDraw.ImageDraw, at: _Point, r: float, color: tuple[int, ...]) -> None:
    canvas.ellipse((at[0] - r, at[1] - r, at[0] + r, at[1] + r), fill=color)


def _square(canvas: ImageDraw.ImageDraw, at: _Point, r: float, color: tuple[int, ...]) -> None:
    canvas.rectangle((at[0] - r, at[1] - r, at[0] + r, at[1] + r), fill=color)


def _stripes(canvas: ImageDraw.ImageDraw, at: _Point, r: float, color: tuple[int, ...]) -> None:
    pitch = max(r / 2, 3)
    for band in range(-3, 4):
        y = at[1] + band * pitch
        canvas.line((at[0] - 2 * r, y, at[0] + 2 * r, y), fill=color, width=round(pitch / 2))


def _triangle(canvas: ImageDraw.ImageDraw, at: _Point, r: float, color: tuple[int, ...]) -> None:
    corners = [
        (at[0] + 1.3 * r * math.sin(turn), at[1] - 1.3 * r * math.cos(turn))
        for turn in (0, math.tau / 3, 2 * math.tau / 3)
    ]
    canvas.polygon(corners, fill=color)


def _cross(canvas: ImageDraw.ImageDraw, at: _Point, r: float, color: tuple[int, ...]) -> None:
    width = max(1, round(r / 2))
    canvas.line((at[0] - r, at[1], at[0] + r, at[1]), fill=color, width=width)
    canvas.line((at[0], at[1] - r, at[0], at[1] + r), fill=color, width=width)


_SHAPES: dict[str, _Shape] = {
    "circle": _circle,
    "square": _square,
    "stripes": _stripes,
    "triangle": _triangle,
    "cross": _cross,
}


def _draw_picture(draw: _Shape, size: int, rng: np.random.Generator) -> Image.Image:
    ground, color = rng.integers(0, 110, 3), rng.integers(150, 256, 3)
    picture = Image.new("RGB", (size, size), tuple(int(value) for value in ground))
    radius = float(rng.uniform(0.22, 0.34)) * size
    at = rng.uniform(0.38 * size, 0.62 * size, 2)
    draw(
        ImageDraw.Draw(picture),
        (float(at[0]), float(at[1])),
        radius,
        tuple(int(value) for value in color),
    )
    noisy = np.asarray(picture) + rng.normal(0, 10, (size, size, 3))
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder as ``archive``, below a folder of its own name; ``.zip``, or gzipped tar."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for file in sorted(folder.rglob("*")):
                packed.write(file, Path(folder.name) / file.relative_to(folder))
        return archive
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
    folder: Path,
    *,
    train: int = 30,
    test: int = 10,
    side: int = 28,
    classes: int = 10,
    suffix: str = "",
) -> Path:
    """The four files of Fashion-MNIST; the classes take turns, and share the three pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % classes
        images = np.stack([draw_class(int(label) % len(CLASSES), side, rng) for label in labels])
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)
    return folder
