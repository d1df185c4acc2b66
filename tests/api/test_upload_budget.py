"""What uploads of all requests together may take, and that they give it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.call import Call
from tests.api.world import World, assert_problem, picture, serving, until
from tests.factories.images import encode, noise_image

FORM = {"content-type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\n'
SETTING = "KERASERVE_MAX_PENDING_UPLOAD_BYTES"
LARGE = encode(noise_image(40, 40), "PNG")
LABELS = {"model": "cifar10", "version": "1", "outcome": "queue_full"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Room for one and a half of the picture."""
    limits = {"max_pending_upload_bytes": len(LARGE) * 3 // 2, "max_upload_bytes": len(LARGE)}
    async with serving(tmp_path, max_batch_size=1, **limits) as world:
        yield world


async def begun(world: World, content: bytes = LARGE) -> Call:
    """Send all of a picture but its last byte."""
    call = Call(world.app)
    held = world.lifecycle.uploads.held_bytes
    call.feed(content[:-1], has_more=True)
    await until(lambda: world.lifecycle.uploads.held_bytes == held + len(content) - 1)
    return call


async def test_upload_beside_one_that_takes_the_room_is_refused_and_hurts_nobody(
    world: World,
) -> None:
    first = await begun(world)
    refused = await world.classify(LARGE)
    limit = f"{len(LARGE) * 3 // 2:,}"
    assert_problem(refused, 429, "queue_full", f"{2 * len(LARGE) - 1:,}", limit, SETTING)
    assert int(refused.headers["retry-after"]) >= 1
    assert world.count("images_total", **LABELS) == 1
    first.feed(LARGE[-1:])
    await first.end()
    assert first.status == 200
    assert (await world.classify(LARGE)).status_code == 200


async def test_small_pictures_pass_while_there_is_room_for_them(world: World) -> None:
    call = await begun(world)
    assert (await world.classify(picture())).status_code == 200
    call.leave()
    await call.end()


async def test_upload_counts_until_its_image_is_answered(world: World) -> None:
    occupying = await world.occupy()
    held = world.lifecycle.uploads.held_bytes
    waiting = world.begin(LARGE)
    await until(lambda: world.batcher.queue_size == 1)
    assert world.lifecycle.uploads.held_bytes == held + len(LARGE)
    world.puppet.let_go()
    assert {(await task).status_code for task in (*occupying, waiting)} == {200}
    assert world.lifecycle.uploads.held_bytes == 0


async def test_client_that_leaves_in_the_middle_gives_its_part_back(world: World) -> None:
    call = await begun(world)
    call.leave()
    await call.end()
    assert call.sent == []
    assert world.lifecycle.uploads.held_bytes == 0


async def test_stopped_request_gives_its_part_back(world: World) -> None:
    call = await begun(world)
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.end()
    assert world.lifecycle.uploads.held_bytes == 0


@pytest.mark.parametrize(
    ("content", "status"),
    [(LARGE[:-200], 422), (LARGE + b"\0", 413), (b"no image" * 99, 415)],
    ids=["broken", "too large", "no image"],
)
async def test_refused_image_gives_its_part_back(world: World, content: bytes, status: int) -> None:
    call = await begun(world, content[:-1])
    call.feed(content[-2:])
    await call.end()
    assert call.status == status
    assert world.lifecycle.uploads.held_bytes == 0


@pytest.mark.parametrize("is_announced", [True, False])
async def test_form_that_would_take_all_the_room_and_more_is_too_large(
    world: World, is_announced: bool
) -> None:
    body = PART + LARGE + b"\r\n" + PART + LARGE + b"\r\n--b--"
    announced = {"content-length": str(len(body))} if is_announced else {}
    call = Call(world.app, "/v1/classify/batch", headers=FORM | announced)
    call.feed(body[: len(LARGE)], has_more=True)
    call.feed(body[len(LARGE) :])
    await call.end()
    assert (call.status, call.document["code"]) == (413, "upload_too_large")
    assert SETTING in call.document["detail"]
    assert world.lifecycle.uploads.held_bytes == 0


async def test_form_beside_an_upload_is_refused_as_a_whole(world: World) -> None:
    call = await begun(world)
    refused = await world.classify_batch([("a.png", LARGE), ("b.png", picture())])
    assert_problem(refused, 429, "queue_full", SETTING)
    assert world.count("images_total", **LABELS) == 1
    call.leave()
    await call.end()
