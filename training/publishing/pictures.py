"""Pictures made by code: what the self-test runs where a version must not carry its data set.

They show nothing in particular. What counts is that they spread over the network's classes and
confidences, so that a wrong weight, channel order or scale moves some of the probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app.types import ImageArray, InputSpec

VARIATIONS = 4
"""Of each kind below: 64 pictures in all. A self-test of 64 takes well under a second on a CPU."""

SEED = 20170615
"""Any number; fixed, so that every run makes the same pictures."""

Plane = NDArray[np.float64]
_Kind = Callable[[Plane, Plane, np.random.Generator], Plane]


def generate_pictures(spec: InputSpec) -> ImageArray:
    """Draw ``VARIATIONS`` pictures of every kind.

    Returns:
        ``(N, H, W, C)`` uint8, 0..255; always the same for one ``spec``.
    """
    y, x = np.meshgrid(
        (np.arange(spec.height) + 0.5) / spec.height,
        (np.arange(spec.width) + 0.5) / spec.width,
        indexing="ij",
    )  # (H, W) each, 0..1
    pictures = []
    for kind_number, kind in enumerate(_KINDS):
        for variation in range(VARIATIONS):
            rng = np.random.default_rng([SEED, kind_number, variation])
            # Every second picture stands on black, as the objects of Fashion-MNIST do.
            shape = kind(y, x, rng)
            pictures.append(_coloured(shape, spec.channels, rng, on_black=variation % 2 == 1))
    return np.stack(pictures)


def _coloured(
    mask: Plane, channels: int, rng: np.random.Generator, *, on_black: bool
) -> ImageArray:
    """Blend two colours by ``mask`` (0..1): ``(H, W)`` to ``(H, W, C)`` uint8."""
    behind, front = rng.random((2, channels))
    if on_black:
        behind, front = np.zeros(channels), 0.5 + front / 2
    blended = behind + np.clip(mask, 0, 1)[:, :, None] * (front - behind)
    noise = rng.normal(0, 0.02, blended.shape)  # like a sensor's: no two pixels are quite equal
    pixels: ImageArray = np.clip(np.rint(255 * (blended + noise)), 0, 255).astype(np.uint8)
    return pixels


def _soft(distance: Plane) -> Plane:
    """Turn a signed distance, in picture sizes, into coverage with an edge of about a pixel."""
    return np.clip(0.5 - distance * 30, 0, 1)


def _box(y: Plane, x: Plane, box: tuple[float, float, float, float]) -> Plane:
    top, left, bottom, right = box
    return _soft(np.maximum(np.maximum(top - y, y - bottom), np.maximum(left - x, x - right)))


def _disc(y: Plane, x: Plane, centre: NDArray[np.float64], radius: float) -> Plane:
    return _soft(np.hypot(y - centre[0], x - centre[1]) - radius)


def _gradient(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    angle = rng.uniform(0, 2 * np.pi)
    return 0.5 + (y - 0.5) * math.sin(angle) + (x - 0.5) * math.cos(angle)


def _radial(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    distance: Plane = np.hypot(y - rng.uniform(0.2, 0.8), x - rng.uniform(0.2, 0.8))
    return 1 - distance


def _stripes(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    angle, count = rng.uniform(0, np.pi), rng.uniform(2, 8)
    wave: Plane = np.sin(2 * np.pi * count * (y * math.sin(angle) + x * math.cos(angle)))
    return 0.5 + 0.5 * wave


def _checkers(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    count = rng.integers(2, 7)
    return (np.floor(y * count) + np.floor(x * count)) % 2


def _white_noise(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    return rng.random(y.shape)


def _waves(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    total = np.zeros_like(y)
    for down, across, phase in rng.uniform([-4, -4, 0], [4, 4, 2 * np.pi], (6, 3)):
        total += np.sin(2 * np.pi * (down * y + across * x) + phase)
    return 0.5 + total / 6


def _blobs(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    total = np.zeros_like(y)
    for row, column, size in rng.uniform([0.1, 0.1, 0.05], [0.9, 0.9, 0.2], (6, 3)):
        total += np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * size**2))
    return total


def _one_disc(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    return _disc(y, x, rng.uniform(0.35, 0.65, 2), rng.uniform(0.15, 0.4))


def _ring(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    centre, radius = rng.uniform(0.4, 0.6, 2), rng.uniform(0.25, 0.4)
    return _disc(y, x, centre, radius) - _disc(y, x, centre, radius * 0.6)


def _upright_box(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    half = rng.uniform(0.08, 0.3)
    return _box(y, x, (rng.uniform(0.02, 0.2), 0.5 - half, rng.uniform(0.8, 0.98), 0.5 + half))


def _flat_box(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    top = rng.uniform(0.4, 0.6)
    return _box(y, x, (top, rng.uniform(0.02, 0.2), top + 0.3, rng.uniform(0.8, 0.98)))


def _wedge(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    slope, foot = rng.uniform(0.3, 0.9), rng.uniform(0.7, 0.95)
    return _soft(np.maximum(foot - slope * x - y, y - foot))


def _two_legs(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    gap, width = rng.uniform(0.04, 0.1), rng.uniform(0.12, 0.2)
    left = _box(y, x, (0.05, 0.5 - gap - width, 0.95, 0.5 - gap))
    right = _box(y, x, (0.05, 0.5 + gap, 0.95, 0.5 + gap + width))
    return left + right + _box(y, x, (0.05, 0.5 - gap - width, 0.2, 0.5 + gap + width))


def _with_arms(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    half, length = rng.uniform(0.2, 0.26), rng.uniform(0.35, 0.85)
    body = _box(y, x, (0.08, 0.5 - half, 0.95, 0.5 + half))
    return (
        body
        + _box(y, x, (0.1, 0.06, 0.1 + length, 0.18))
        + _box(y, x, (0.1, 0.82, 0.1 + length, 0.94))
    )


def _horizon(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    level, left = rng.uniform(0.45, 0.75), rng.uniform(0.1, 0.5)
    return 0.6 * _soft(level - y) + _box(y, x, (level - 0.25, left, level, 0.9))


def _four_legs(y: Plane, x: Plane, rng: np.random.Generator) -> Plane:
    top, total = rng.uniform(0.3, 0.45), np.zeros_like(y)
    total += _box(y, x, (top, 0.2, top + 0.25, 0.8))  # body
    total += _disc(y, x, np.array([top - 0.05, rng.choice([0.2, 0.8])]), 0.14)  # head
    for left in (0.22, 0.36, 0.58, 0.72):
        total += _box(y, x, (top + 0.2, left, 0.92, left + 0.06))
    return total


_KINDS: tuple[_Kind, ...] = (
    _gradient,
    _radial,
    _stripes,
    _checkers,
    _white_noise,
    _waves,
    _blobs,
    _one_disc,
    _ring,
    _upright_box,
    _flat_box,
    _wedge,
    _two_legs,
    _with_arms,
    _horizon,
    _four_legs,
)
