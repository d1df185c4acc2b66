"""Threads that decode, and die or hang, in the running service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import GifImagePlugin

from tests.api.world import PATIENCE_S, World, assert_problem, picture, serving, until
from tests.factories.images import encode, noise_image

pytestmark = pytest.mark.timeout(20)

LARGE = encode(noise_image(200, 200), "GIF")
"""Too large to be decoded on the event loop."""


class Decoder:
    """Stands for Pillow's of GIF: does with the next images what the test says."""

    def __init__(self) -> None:
        self.deaths = 0
        self.hangs = 0
        self.back = threading.Event()

    def fault(self, opened: Any) -> None:
        if self.deaths:
            self.deaths -= 1
            raise SystemExit("the thread dies")
        if self.hangs:
            self.hangs -= 1
            self.back.wait(PATIENCE_S)


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Decoder:
    found = Decoder()
    prepare = GifImagePlugin.GifImageFile.load_prepare

    def load_prepare(self: GifImagePlugin.GifImageFile) -> None:
        found.fault(self)
        prepare(self)

    monkeypatch.setattr(GifImagePlugin.GifImageFile, "load_prepare", load_prepare)
    return found


@pytest.fixture
async def world(tmp_path: Path, decoder: Decoder) -> AsyncIterator[World]:
    async with serving(tmp_path, stall_after_s=0.2, engine_restarts=2) as world:
        yield world
        decoder.back.set()


async def test_thread_that_dies_is_replaced(world: World, decoder: Decoder) -> None:
    decoder.deaths = 1
    answers = await asyncio.gather(*(world.classify(LARGE) for _ in range(8)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 7 + [503]
    [lost] = [answer for answer in answers if answer.status_code == 503]
    assert_problem(lost, 503, "not_ready", "its thread ended")
    assert world.lifecycle.unready_reasons() == []
    assert world.count("images_total", model="cifar10", version="1", outcome="not_ready") == 1


async def test_image_whose_decoding_hangs_keeps_nobody_waiting(
    world: World, decoder: Decoder
) -> None:
    decoder.hangs = 1
    answers = await asyncio.gather(*(world.classify(LARGE) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [503]
    assert world.lifecycle.unready_reasons() == []


async def test_once_restarts_do_not_help_liveness_fails_and_small_images_go_on(
    world: World, decoder: Decoder
) -> None:
    decoder.deaths = 100
    while (await world.client.get("/livez")).status_code == 200:
        assert (await world.classify(LARGE)).status_code == 503
    await until(lambda: world.lifecycle.unready_reasons() != [])
    death = (await world.client.get("/livez")).json()
    assert death["status"] == "dead"
    assert "decoding: no thread is left" in death["reasons"][0]
    assert_problem(await world.classify(LARGE), 503, "not_ready", "Images are not decoded")
    assert (await world.classify(picture())).status_code == 200
