"""Where an answer ends, in whatever pieces it arrives."""

from __future__ import annotations

import math

import pytest

from app.load.answer import MOST_HEAD_BYTES, AnswerError, AnswerReader

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n1A;name=value\r\n" + b"\r\n" * 13 + b"\r\n0\r\n"
)

WHOLE = [
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, id="a length"),
    pytest.param(
        b"HTTP/1.1 404 Not Found\r\nServer: x\r\ncontent-length:3\r\nA: b\r\n\r\n{}\n",
        404,
        id="other capitals and headers around it",
    ),
    pytest.param(b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n", 429, id="no body"),
    pytest.param(b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n", 204, id="never a body"),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n"
        b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
        201,
        id="what comes before the answer",
    ),
    pytest.param(CHUNKED + b"\r\n", 200, id="chunks, of which one is full of line ends"),
    pytest.param(CHUNKED + b"A: b\r\nC: d\r\n\r\n", 200, id="chunks and trailers"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        200,
        id="chunks win over a length",
    ),
]


@pytest.mark.parametrize(("answer", "status"), WHOLE)
def test_answer_in_two_pieces_cut_at_every_byte(answer: bytes, status: int) -> None:
    reader = AnswerReader()
    for cut in range(len(answer) + 1):
        first, second = answer[:cut], answer[cut:]
        assert reader.feed(first) is (cut == len(answer))
        if second:
            assert reader.feed(second)
        assert reader.status == status
        assert reader.keeps_alive


@pytest.mark.parametrize(("answer", "status"), WHOLE)
def test_answer_byte_by_byte_and_another_on_the_same_connection(answer: bytes, status: int) -> None:
    reader = AnswerReader()
    for _ in range(2):
        ends = [reader.feed(answer[at : at + 1]) for at in range(len(answer))]
        assert ends == [False] * (len(answer) - 1) + [True]
        assert reader.status == status


@pytest.mark.parametrize(
    ("head", "keeps_alive"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_whether_the_connection_may_be_used_again(head: bytes, keeps_alive: bool) -> None:
    reader = AnswerReader()
    assert reader.feed(head + b"Content-Length: 0\r\n\r\n")
    assert reader.keeps_alive is keeps_alive


def test_answer_without_length_ends_with_the_connection() -> None:
    reader = AnswerReader()
    assert not reader.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    assert not reader.feed(b"lo")
    assert reader.end()
    assert not reader.keeps_alive


@pytest.mark.parametrize(("answer", "status"), WHOLE)
def test_end_in_the_middle_of_an_answer_completes_nothing(answer: bytes, status: int) -> None:
    for cut in range(len(answer)):
        reader = AnswerReader()
        assert not reader.feed(answer[:cut])
        assert not reader.end()


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"3", 3), (b"Fri, 31 Dec 1999 23:59:59 GMT", math.nan), (b"", math.nan)]
)
def test_refusal_says_when_to_come_again(value: bytes, seconds: float) -> None:
    reader = AnswerReader()
    head = b"HTTP/1.1 503 Busy\r\nRetry-After: " + value + b"\r\nContent-Length: 0\r\n\r\n"
    assert reader.feed(head)
    assert reader.retry_after_s == pytest.approx(seconds, nan_ok=True)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"SSH-2.0\r\n\r\n", "no HTTP/1.1 answer"),
        (b"HTTP/2 200 OK\r\n\r\n", "no HTTP/1.1 answer"),
        (b"HTTP/1.1 OK!\r\n\r\n", "no HTTP/1.1 answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length is b'-1'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", "1 bytes more"),
        (CHUNKED + b"\r\nx", "1 bytes more"),
        (CHUNKED[:-3] + b"x\r\n", "size of a chunk is b'x'"),
        (CHUNKED[:-3] + b"-2\r\n", "size of a chunk is b'-2'"),
        (b"a" * (MOST_HEAD_BYTES + 1), "a head of more than"),
        (CHUNKED[:-3] + b"1" * (MOST_HEAD_BYTES + 1), "no line end"),
    ],
)
def test_what_is_no_answer_is_refused(answer: bytes, complaint: str) -> None:
    with pytest.raises(AnswerError, match=complaint):
        AnswerReader().feed(answer)
