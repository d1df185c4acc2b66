"""What the load generator sends, reads and counts."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from email import message_from_bytes
from email.policy import HTTP

import pytest

from benchmarks.load.client import LOST, UNANSWERED, Client, Recorder
from benchmarks.load.http import Head, multipart_request, parse_head

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"


class RecordingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


Connect = Callable[[], tuple[Client, RecordingTransport]]


@pytest.fixture
def recorder() -> Recorder:
    recorder = Recorder()
    recorder.is_open = True
    return recorder


@pytest.fixture
def connect(recorder: Recorder) -> Connect:
    def connected() -> tuple[Client, RecordingTransport]:
        transport = RecordingTransport()
        client = Client(itertools.cycle([b"first", b"second"]), recorder)
        client.connection_made(transport)
        return client, transport

    return connected


@pytest.mark.parametrize(
    ("received", "head"),
    [
        pytest.param(ANSWER, Head(200, 38, 40), id="complete"),
        pytest.param(ANSWER[:-2], Head(200, 38, 40), id="body still to come"),
        pytest.param(ANSWER[:30], None, id="head still to come"),
        pytest.param(b"", None, id="nothing yet"),
        pytest.param(
            b"HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 12\r\nA: b\r\n\r\n",
            Head(404, 63, 75),
            id="other capitals and headers around it",
        ),
    ],
)
def test_head_of_a_response(received: bytes, head: Head | None) -> None:
    assert parse_head(received) == head


def test_a_response_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="without Content-Length"):
        parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")


def test_request_carries_the_picture_as_part_file() -> None:
    content = bytes(range(256))
    request = multipart_request("127.0.0.1:80", "/v1/classify", "a.png", content)
    line, _, rest = request.partition(b"\r\n")
    assert line == b"POST /v1/classify HTTP/1.1"
    message = message_from_bytes(rest, policy=HTTP)
    assert int(message["Content-Length"]) == len(rest.partition(b"\r\n\r\n")[2])
    (part,) = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "file"
    assert part.get_payload(decode=True) == content


async def test_next_request_goes_out_when_the_answer_is_whole(
    connect: Connect, recorder: Recorder
) -> None:
    client, transport = connect()
    for position in range(len(ANSWER) - 1):
        client.data_received(ANSWER[position : position + 1])
    assert transport.sent == [b"first"]
    client.data_received(ANSWER[-1:])
    assert transport.sent == [b"first", b"second"]
    assert recorder.outcomes == {"200": 1}
    assert len(recorder.latencies_s) == 1


async def test_only_answers_inside_the_window_count(connect: Connect, recorder: Recorder) -> None:
    client, _ = connect()
    recorder.is_open = False
    client.data_received(ANSWER)
    assert not recorder.outcomes
    recorder.is_open = True
    client.data_received(ANSWER)
    assert recorder.outcomes == {"200": 1}


async def test_a_refusal_counts_and_has_no_latency(connect: Connect, recorder: Recorder) -> None:
    client, _ = connect()
    client.data_received(REFUSAL)
    assert recorder.outcomes == {"429": 1}
    assert not recorder.latencies_s


async def test_a_stopped_client_is_done_with_its_last_answer(connect: Connect) -> None:
    client, transport = connect()
    client.stop()
    assert not client.done.done()
    client.data_received(ANSWER)
    client.connection_lost(None)
    assert client.done.done()
    assert transport.closed
    assert transport.sent == [b"first"]


async def test_a_lost_connection_is_counted_once(connect: Connect, recorder: Recorder) -> None:
    client, _ = connect()
    client.connection_lost(ConnectionResetError())
    client.give_up()
    assert client.done.done()
    assert recorder.outcomes == {LOST: 1}


async def test_a_missing_answer_is_counted_once(connect: Connect, recorder: Recorder) -> None:
    client, transport = connect()
    client.stop()
    client.give_up()
    client.connection_lost(None)
    assert transport.closed
    assert recorder.outcomes == {UNANSWERED: 1}
