"""Clients that leave."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from app.api.disconnect import CancelOnDisconnect
from tests.api.call import Call
from tests.api.world import PATIENCE_S, World, picture, serving, until

LABELS = {"model": "cifar10", "version": "1"}
FORM = {"content-type": "multipart/form-data; boundary=b"}
FILE = b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\n' + picture() + b"\r\n--b--"


async def test_leaving_withdraws_a_waiting_image_which_is_never_executed(tmp_path: Path) -> None:
    async with serving(tmp_path, max_batch_size=1) as world:
        before = len(world.puppet.executed)
        staying = await world.occupy()
        leaving = Call(world.app)
        leaving.feed(picture())
        await until(lambda: world.batcher.queue_size == 1)
        leaving.leave()
        await leaving.end()
        assert world.batcher.queue_size == 0
        assert leaving.sent == []
        world.puppet.let_go()
        assert [(await task).status_code for task in staying] == [200, 200]
        assert len(world.puppet.executed) == before + 2
        assert world.count("images_total", **LABELS, outcome="cancelled") == 1


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [("/v1/classify", {}, picture()), ("/v1/classify/batch", FORM, FILE)],
    ids=["one", "several"],
)
async def test_leaving_is_logged_and_counted_as_499(
    world: World,
    path: str,
    headers: dict[str, str],
    body: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "app.request")
    before = len(world.puppet.executed)
    world.puppet.hold()
    call = Call(world.app, path, headers=headers)
    call.feed(body)
    await world.puppet.began(before + 1)
    call.leave()
    await call.end()
    assert call.sent == []
    assert world.count("requests_total", route=path, method="POST", code="499") == 1
    assert world.count("images_total", **LABELS, outcome="cancelled") == 1
    assert world.count("in_flight_requests") == 0
    lines = [record for record in caplog.records if record.name == "app.request"]
    assert [line.__dict__["status"] for line in lines] == [499]
    assert not any(record.exc_info for record in caplog.records)
    world.puppet.let_go()
    assert (await world.classify()).status_code == 200


async def test_leaving_before_the_body_is_whole_is_499_and_no_image(world: World) -> None:
    call = Call(world.app, headers={"content-length": "5000"})
    call.feed(b"\x89PNG", has_more=True)
    call.leave()
    await call.end()
    assert call.sent == []
    assert world.count("requests_total", route="/v1/classify", method="POST", code="499") == 1


async def test_leaving_after_the_answer_changes_nothing(world: World) -> None:
    call = Call(world.app)
    call.feed(picture())
    await call.end()
    call.leave()
    assert call.is_answered
    assert call.status == 200


class Client:
    """A client that leaves when told."""

    def __init__(self) -> None:
        self.has_left = asyncio.Event()

    async def receive(self) -> Message:
        await self.has_left.wait()
        return {"type": "http.disconnect"}


async def test_work_ends_undisturbed_where_the_client_stays() -> None:
    with CancelOnDisconnect(Client().receive, listen_after_s=0):
        await asyncio.sleep(0)


async def test_work_is_cancelled_where_the_client_leaves() -> None:
    client = Client()
    work = asyncio.get_running_loop().create_future()
    client.has_left.set()
    with pytest.raises(ClientDisconnect), CancelOnDisconnect(client.receive, listen_after_s=0):
        await work
    assert work.cancelled()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_nothing_is_cancelled_once_the_work_has_ended() -> None:
    for turns in range(6):  # the client leaves in every turn around the end of the work
        client = Client()
        with CancelOnDisconnect(client.receive, listen_after_s=0):
            await asyncio.sleep(0)
            client.has_left.set()
            for _ in range(turns):
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    break
        for _ in range(5):
            await asyncio.sleep(0)


async def test_own_error_of_the_work_is_kept() -> None:
    with pytest.raises(KeyError), CancelOnDisconnect(Client().receive, listen_after_s=0):
        raise KeyError


async def test_cancellation_from_elsewhere_stays_one() -> None:
    client = Client()
    began = asyncio.Event()

    async def work() -> None:
        with CancelOnDisconnect(client.receive, listen_after_s=0):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await began.wait()
    client.has_left.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE_S):
            await task
