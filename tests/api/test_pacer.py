"""While others are refused, few requests begin in one turn of the event loop; all of them do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.api.pacer import PER_TURN, Pacer
from tests.api.doorway import Doorway, Line, codes, doorway, message, outcomes
from tests.api.world import picture, serving, until

pytestmark = pytest.mark.timeout(30)

ROOM = 3 * PER_TURN


@pytest.fixture
async def pressed(tmp_path: Path) -> AsyncIterator[Doorway]:
    """A doorway at which somebody was refused a moment ago, with all of its room free again."""
    limits = {"max_batch_size": 1, "max_queue_size": ROOM, "max_images_per_request": 1}
    async with serving(tmp_path, **limits) as world, doorway(world) as door:
        world.puppet.hold()
        while not codes(world).get("429"):
            line = await door.connect()
            await line.send_and_seen(message(picture()))
        world.puppet.let_go()
        await until(lambda: not world.count("in_flight_requests"))
        assert world.app.state.gate.is_watching(asyncio.get_running_loop().time())
        yield door


def hand_over(lines: list[Line], content: bytes) -> None:
    """Have the server receive the same on each connection, within one turn."""
    for line in lines:
        line.far_end.protocol.data_received(content)


async def test_no_more_begin_in_a_turn_and_each_is_answered(pressed: Doorway) -> None:
    world = pressed.world
    lines = [await pressed.connect() for _ in range(ROOM)]
    refused, decoded, begun = codes(world)["429"], world.decoded, len(pressed.begun)
    world.puppet.hold()
    hand_over(lines, message(picture()))
    assert world.decoded - decoded == PER_TURN
    await until(lambda: world.decoded - decoded == ROOM)
    world.puppet.let_go()
    assert [(await line.answer()).status for line in lines] == [200] * ROOM
    assert codes(world)["429"] == refused
    assert len(pressed.begun) == begun, "all on the express lane"


async def test_who_is_put_off_counts_for_those_who_come_in_the_next_turn(pressed: Doorway) -> None:
    world = pressed.world
    world.puppet.hold()
    lines = [await pressed.connect() for _ in range(2 * ROOM)]
    decoded, refused = world.decoded, codes(world)["429"]
    first, second = lines[:ROOM], lines[ROOM:]
    hand_over(first, message(picture()))
    await asyncio.sleep(0)
    assert world.decoded - decoded < ROOM, "some are still put off"
    hand_over(second, message(picture()))
    world.puppet.let_go()
    answers = [(await line.answer()).status for line in lines]
    assert answers[:ROOM] == [200] * ROOM
    assert codes(world)["429"] - refused == answers.count(429)
    assert answers[ROOM:].count(429) >= ROOM - 2, "one may be on the device already"


async def test_who_sends_another_one_behind_is_answered_in_order(pressed: Doorway) -> None:
    lines = [await pressed.connect() for _ in range(PER_TURN + 1)]
    hand_over(lines, message(picture()))
    last = lines[-1]
    last.far_end.protocol.data_received(message(picture(), query="model=none"))
    assert [(await last.answer()).status for _ in range(2)] == [200, 404]
    assert [(await line.answer()).status for line in lines[:-1]] == [200] * PER_TURN


async def test_who_leaves_while_put_off_is_counted_and_holds_nobody_up(pressed: Doorway) -> None:
    world = pressed.world
    lines = [await pressed.connect() for _ in range(2 * PER_TURN)]
    before = outcomes(world)["ok"]
    hand_over(lines, message(picture()))
    left = lines[PER_TURN]
    left.far_end.protocol.connection_lost(None)
    others = [line for line in lines if line is not left]
    assert [(await line.answer()).status for line in others] == [200] * len(others)
    await until(lambda: codes(world).get("499") == 1)
    assert outcomes(world)["ok"] - before == len(others)


async def test_what_is_no_image_is_refused_after_its_turn_came(pressed: Doorway) -> None:
    lines = [await pressed.connect() for _ in range(PER_TURN + 1)]
    hand_over(lines[:-1], message(picture()))
    hand_over(lines[-1:], message(b"no image"))
    assert (await lines[-1].answer()).status == 415
    assert [(await line.answer()).status for line in lines[:-1]] == [200] * PER_TURN


async def test_stopping_server_answers_who_is_put_off(pressed: Doorway) -> None:
    lines = [await pressed.connect() for _ in range(2 * PER_TURN)]
    hand_over(lines, message(picture()))
    pressed.stop()
    assert [(await line.answer()).status for line in lines] == [200] * len(lines)


async def test_nobody_overtakes() -> None:
    pacer = Pacer()
    begun: list[int] = []
    for number in range(PER_TURN + 3):
        if pacer.may_begin():
            begun.append(number)
        else:
            pacer.put_off(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert begun == list(range(PER_TURN))
    assert pacer.has_waiting
    assert not pacer.may_begin()
    pacer.put_off(lambda: begun.append(-1))
    await until(lambda: not pacer.has_waiting)
    assert begun == [*range(PER_TURN + 3), -1]
