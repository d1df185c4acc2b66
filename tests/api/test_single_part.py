"""The short way of the usual upload, held against the parser that takes all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from app.api.multipart import FilesReader, FormLimits
from app.api.single_part import boundary_of, single_part
from app.errors import ServingError
from tests.api.test_multipart import AWKWARD

BOUNDARY = b"7f3a-boundary"
LIMITS = FormLimits(part="file", max_files=1, too_many="too many", max_file_bytes=10_000)


def form(content: bytes, head: bytes = b'; filename="a.png"', tail: bytes = b"\r\n") -> bytes:
    opening = b'--%s\r\nContent-Disposition: form-data; name="file"%s\r\n' % (BOUNDARY, head)
    return opening + b"\r\n" + content + b"\r\n--%s--" % BOUNDARY + tail


def parsed(body: bytes) -> bytes | None:
    """What the parser finds; None where it refuses the body."""
    reader = FilesReader(BOUNDARY, LIMITS)
    try:
        reader.feed(body)
        return reader.finish()[0].content
    except ServingError:
        return None


@pytest.mark.parametrize("content", [c for c in AWKWARD if BOUNDARY not in c] + [b"\x89PNG" * 500])
@pytest.mark.parametrize(
    "head",
    [
        b"",
        b'; filename="a.png"',
        b'; filename="a.png"\r\nContent-Type: image/png',
        '; filename="猫 1.png"\r\nContent-Type: text/plain; charset=utf-8'.encode(),
    ],
    ids=["bare", "named", "curl", "other letters"],
)
@pytest.mark.parametrize("tail", [b"\r\n", b""])
def test_usual_form_gives_its_content(content: bytes, head: bytes, tail: bytes) -> None:
    body = form(content, head, tail)
    assert single_part(body, BOUNDARY, "file") == content == parsed(body)


def test_type_may_come_before_the_disposition() -> None:
    body = b"--%s\r\nContent-Type: image/png\r\n" % BOUNDARY + form(b"x").partition(b"\r\n")[2]
    assert single_part(body, BOUNDARY, "file") == b"x" == parsed(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        form(b"x")[:-4],
        form(b"x")[1:],
        b"preamble\r\n" + form(b"x"),
        form(b"x", tail=b"\r\nepilogue"),
        form(b"x").replace(b'"file"', b'"files"'),
        form(b"x").replace(b'"file"', b"file"),
        form(b"x", b'; filename="a\\".png"'),
        form(b"x", b"; filename*=UTF-8''a.png"),
        form(b"x", b'; filename="%s"' % (b"a" * 5000)),
        form(b"x", b"\r\nContent-Transfer-Encoding: base64"),
        form(b"x").replace(b"--\r\n", b"\r\n") + form(b"y"),
        form(b"x\r\n--%s\r\ny" % BOUNDARY),
        b'--%s\r\nContent-Disposition: form-data; name="file"\r\n\r\n--%s--' % (BOUNDARY, BOUNDARY),
    ],
    ids=[
        "empty", "no form", "cut", "no beginning", "preamble", "epilogue", "another name",
        "name without quotes", "escape", "extended name", "long name", "other header", "two parts",
        "boundary within", "no line break before the end",
    ],
)  # fmt: skip
def test_whatever_is_unusual_is_left_to_the_parser(body: bytes) -> None:
    assert single_part(body, BOUNDARY, "file") is None


def test_it_never_finds_what_the_parser_does_not() -> None:
    """Bodies made of the pieces that decide, in every order, and with bytes changed at random."""
    pieces = (b"--" + BOUNDARY, b"\r\n", b"--", b"x", form(b"y")[15:80])
    for chosen in itertools.product(pieces, repeat=5):
        body = form(b"".join(chosen))
        found = single_part(body, BOUNDARY, "file")
        assert found is None or found == parsed(body)
    random = np.random.default_rng(0)
    whole = bytearray(form(b"\r\n--7f3a-bound\r\n", b'; filename="a"\r\nContent-Type: image/png'))
    found_some = 0
    for _ in range(3000):
        changed = bytearray(whole)
        for place in random.integers(0, len(changed), 2):
            changed[place] = random.choice(list(b'\r\n-7:;" a'))
        found = single_part(bytes(changed), BOUNDARY, "file")
        found_some += found is not None
        assert found is None or found == parsed(bytes(changed))
    assert found_some > 100  # else nothing was compared


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b"multipart/form-data;boundary=abc", b"abc"),
        (b'multipart/form-data; boundary="a b"', None),
        (b'multipart/form-data; boundary="abc"', b"abc"),
        (
            b"Multipart/Form-Data; boundary=----WebKitFormBoundary7MA4",
            b"----WebKitFormBoundary7MA4",
        ),
        (b"multipart/form-data; boundary=abc; charset=utf-8", None),
        (b"multipart/form-data; boundary=", None),
        (b"multipart/form-data; boundary=" + b"b" * 71, None),
        (b"multipart/mixed; boundary=abc", None),
        (b"image/png", None),
        (b"", None),
    ],
)
def test_boundary_is_read_where_it_stands_as_usual(
    content_type: bytes, boundary: bytes | None
) -> None:
    assert boundary_of(content_type) == boundary
