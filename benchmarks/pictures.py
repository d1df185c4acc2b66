"""Pictures made by code: 32×32 PNG files of about 2 KB, as photographs of that size have."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PX = 32
COUNT = 256
_SEED = 20


def _noise(random: np.random.Generator, cells: int) -> NDArray[np.float32]:
    """Return ``(32, 32, 3)`` float32: random colours on a grid of ``cells``², smoothed between."""
    grid = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    image = Image.fromarray(grid).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def picture(seed: int) -> NDArray[np.uint8]:
    """Return one picture, ``(32, 32, 3)`` uint8, 0..255, RGB: a scene-like sum of scales.

    Amplitudes fall with frequency as they do in photographs, one blob stands for an object, and
    brightness and saturation vary, so that a trained network sees several classes in them.
    """
    random = np.random.default_rng((_SEED, seed))
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32)
    sky, ground = random.uniform(0, 255, (2, 1, 1, 3))
    below = np.clip((rows - random.uniform(8, 30)) / random.uniform(1, 12), 0, 1)[..., None]
    background = (sky * (1 - below) + ground * below) * 0.7
    background = background + _noise(random, 5) * 0.2 + _noise(random, 32) * 0.1
    centre, radii = random.uniform(10, 22, 2), random.uniform(4, 14, 2)
    power = random.choice([1.0, 2.0, 8.0])  # a diamond, an ellipse, nearly a rectangle
    from_rows, from_columns = abs(rows - centre[0]) / radii[0], abs(columns - centre[1]) / radii[1]
    distance = (from_rows**power + from_columns**power) ** (1 / power)
    inside = np.clip((1.1 - distance) * random.uniform(3, 12), 0, 1)[..., None]  # (32, 32, 1)
    body = random.uniform(0, 255, 3) * 0.6 + _noise(random, 4) * 0.3 + _noise(random, 16) * 0.1
    scene = background * (1 - inside) + body * inside  # (32, 32, 3) float, RGB
    grey = scene.mean(axis=2, keepdims=True)
    scene = grey + (scene - grey) * random.uniform(0.0, 0.8)
    brightness = random.uniform(-40, 40)
    pixels: NDArray[np.uint8] = np.clip(scene + brightness, 0, 255).astype(np.uint8)
    return pixels


def write_pictures(folder: Path, shape: tuple[int, int, int] = (SIDE_PX, SIDE_PX, 3)) -> float:
    """Write the pictures as ``000.png`` and so on, the same on every machine.

    Args:
        folder: Where to.
        shape: ``(H, W, C)`` that the network takes, so that nobody has to resize.

    Returns:
        Their mean size in bytes.
    """
    height, width, channels = shape
    folder.mkdir(parents=True, exist_ok=True)
    sizes = []
    for number in range(COUNT):
        buffer = io.BytesIO()
        image = Image.fromarray(picture(number)).convert("RGB" if channels == 3 else "L")
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        image.save(buffer, "PNG")
        sizes.append(len(buffer.getvalue()))
        (folder / f"{number:03}.png").write_bytes(buffer.getvalue())
    return sum(sizes) / len(sizes)
