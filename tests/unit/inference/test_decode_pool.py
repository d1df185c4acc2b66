import asyncio
import threading

import anyio
import pytest

from app.errors import ImageDecodeError, QueueFullError
from app.inference.decode_pool import DecodePool

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(10)]


async def test_result_comes_with_the_time_it_took() -> None:
    pool = DecodePool(threads=1, max_pending=1)
    result, seconds = await pool.run(lambda: "pixels")
    assert result == "pixels"
    assert 0 <= seconds < 10
    pool.close()


async def test_error_reaches_the_caller_and_frees_its_place() -> None:
    def fail() -> None:
        raise ImageDecodeError("truncated")

    pool = DecodePool(threads=1, max_pending=1)
    for _ in range(3):
        with pytest.raises(ImageDecodeError, match="truncated"):
            await pool.run(fail)
    pool.close()


async def test_one_too_many_is_refused_and_later_welcome() -> None:
    gate = threading.Event()
    pool = DecodePool(threads=1, max_pending=2)
    waiting = [asyncio.create_task(pool.run(gate.wait)) for _ in range(2)]
    await anyio.wait_all_tasks_blocked()
    with pytest.raises(QueueFullError, match="limit is 2"):
        await pool.run(gate.wait)
    gate.set()
    await asyncio.gather(*waiting)
    assert (await pool.run(lambda: 1))[0] == 1
    pool.close()


async def test_upload_whose_caller_left_is_never_decoded() -> None:
    gate, decoded = threading.Event(), []
    pool = DecodePool(threads=1, max_pending=9)
    first = asyncio.create_task(pool.run(gate.wait))
    left = asyncio.create_task(pool.run(lambda: decoded.append("left")))
    await anyio.wait_all_tasks_blocked()
    left.cancel()
    await asyncio.wait([left])
    gate.set()
    await first
    await pool.run(lambda: decoded.append("stayed"))
    assert decoded == ["stayed"]
    pool.close()


async def test_refusal_tells_when_the_uploads_before_will_have_been_decoded() -> None:
    gate = threading.Event()
    ticks = iter([0.0, 5.0])  # the first upload takes 5 s
    pool = DecodePool(threads=1, max_pending=1, clock=lambda: next(ticks, 5.0))
    await pool.run(lambda: None)
    waiting = asyncio.create_task(pool.run(gate.wait))
    await anyio.wait_all_tasks_blocked()
    with pytest.raises(QueueFullError) as caught:
        await pool.run(gate.wait)
    assert caught.value.retry_after_s == pytest.approx(5.0)
    gate.set()
    await waiting
    pool.close()


async def test_upload_that_would_not_be_decoded_in_time_is_refused_unless_a_thread_is_free() -> (
    None
):
    gate = threading.Event()
    ticks = iter([0.0, 2.0])  # the first upload takes 2 s
    pool = DecodePool(threads=2, max_pending=99, clock=lambda: next(ticks, 2.0))
    assert pool.refusal(0.001) is None, "nothing is known yet"
    await pool.run(lambda: None)
    waiting = [asyncio.create_task(pool.run(gate.wait))]
    await anyio.wait_all_tasks_blocked()
    assert pool.refusal(0.001) is None
    waiting += [asyncio.create_task(pool.run(gate.wait)) for _ in range(5)]
    await anyio.wait_all_tasks_blocked()
    assert pool.refusal(7.0) is None, "the seventh of two at a time"
    refusal = pool.refusal(4.0)
    assert refusal is not None
    assert refusal.retry_after_s == pytest.approx(3.0)
    with pytest.raises(QueueFullError, match=r"6 uploads wait .* 7\.000 s.* 4\.000 s"):
        await pool.run(gate.wait, 4.0)
    assert pool.refusal(-1.0) is None, "late already: its deadline has passed, nothing is full"
    gate.set()
    await asyncio.gather(*waiting)
    pool.close()
