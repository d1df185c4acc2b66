"""Reading forms, cut into chunks in every way."""

from __future__ import annotations

import numpy as np
import pytest

from app.api.multipart import FRAMING_BYTES, FilesReader, FormLimits, Upload
from app.errors import (
    InvalidRequestError,
    MalformedRequestError,
    TooManyImagesError,
    UploadTooLargeError,
)

BOUNDARY = b"7f3a-boundary"
LIMITS = FormLimits(part="files", max_files=3, too_many="too many", max_file_bytes=1000)


def part(content: bytes, head: bytes = b'form-data; name="files"; filename="a.png"') -> bytes:
    return b"--%s\r\nContent-Disposition: %s\r\n\r\n%s\r\n" % (BOUNDARY, head, content)


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--%s--\r\n" % BOUNDARY


def read(body: bytes, chunk_bytes: int = 1 << 20, limits: FormLimits = LIMITS) -> list[Upload]:
    reader = FilesReader(BOUNDARY, limits)
    for start in range(0, len(body), chunk_bytes):
        reader.feed(body[start : start + chunk_bytes])
    return reader.finish()


# Contents that look like the end of a part, or its beginning.
AWKWARD = [
    b"",
    b"\r\n",
    b"\r\n--",
    b"\r\n--7f3a-boundar",
    b"\r\n\r\n--7f3a-boundar\r\n",
    b"\r" * 50,
    b"--7f3a-boundary",
    bytes(range(256)),
]


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 16, 17, 18, 19, 64, 1 << 20])
def test_files_are_the_same_however_the_body_is_cut(chunk_bytes: int) -> None:
    limits = FormLimits("files", len(AWKWARD), "too many", 1000)
    body = form(*(part(content) for content in AWKWARD))
    uploads = read(body, chunk_bytes, limits)
    assert [upload.content for upload in uploads] == AWKWARD
    assert {upload.filename for upload in uploads} == {"a.png"}


def test_random_contents_survive_random_cuts() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        contents = [random.bytes(int(random.integers(0, 900))) for _ in range(3)]
        body = form(*map(part, contents))
        cuts = sorted(random.integers(0, len(body), 5))
        reader = FilesReader(BOUNDARY, LIMITS)
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            reader.feed(body[start:end])
        assert [upload.content for upload in reader.finish()] == contents


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        (b'form-data; name="files"; filename="a.png"', "a.png"),
        (b"form-data; name=files; filename=a.png", "a.png"),
        (b'form-data;name="files";filename="a;b.png"', "a;b.png"),
        (b'form-data; filename="a.png"; name="files"', "a.png"),
        (b'form-data; name="files"; filename="C:\\dir\\a.png"', "a.png"),
        ('form-data; name="files"; filename="猫.png"'.encode(), "猫.png"),
        (b'form-data; name="files"; filename="\xff.png"', "�.png"),
        (b'form-data; name="files"; filename=""', ""),
        (b'form-data; name="files"', None),
    ],
)
def test_names_are_read_as_clients_write_them(head: bytes, filename: str | None) -> None:
    assert read(form(part(b"x", head)))[0].filename == filename


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"--other\r\n",
        part(b"x"),
        part(b"x")[:-2],
        form(part(b"x"))[:-4],
        b"--%s\r\nno header\r\n\r\nx" % BOUNDARY,
        form(part(b"x", b"form-data")),
        form(b"--%s\r\nContent-Type: image/png\r\n\r\nx\r\n" % BOUNDARY),
        b"--%s\r\n" % BOUNDARY + b"A: b\r\n" * 9 + b"\r\nx",
        b"--%s\r\nA: %s\r\n\r\nx" % (BOUNDARY, b"b" * 10_000),
    ],
    ids=[
        "empty",
        "no form",
        "another boundary",
        "no closing boundary",
        "cut within a part",
        "cut within the closing boundary",
        "header without colon",
        "part without name",
        "part without disposition",
        "too many headers",
        "header too long",
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_broken_form_is_malformed(body: bytes, chunk_bytes: int) -> None:
    with pytest.raises(MalformedRequestError):
        read(body, chunk_bytes)


def test_boundary_that_no_client_makes_is_malformed() -> None:
    with pytest.raises(MalformedRequestError):
        FilesReader(b"b" * 300, LIMITS)


def test_form_without_parts_is_named_as_such() -> None:
    with pytest.raises(InvalidRequestError, match="'files'"):
        read(form())


def test_part_of_another_name_is_refused_as_soon_as_it_begins() -> None:
    reader = FilesReader(BOUNDARY, LIMITS)
    with pytest.raises(InvalidRequestError, match=r"'top_k'.*query string"):
        reader.feed(part(b"", b'form-data; name="top_k"')[:-2])


def test_one_file_too_many_is_refused_as_soon_as_it_begins() -> None:
    reader = FilesReader(BOUNDARY, LIMITS)
    for _ in range(3):
        reader.feed(part(b"x"))
    with pytest.raises(TooManyImagesError, match="too many"):
        reader.feed(part(b"")[:-2])


def test_file_of_the_largest_size_is_taken() -> None:
    assert len(read(form(part(bytes(1000))))[0].content) == 1000


def test_larger_file_is_refused_before_it_has_arrived() -> None:
    reader = FilesReader(BOUNDARY, LIMITS)
    reader.feed(part(b"")[:-2] + bytes(900))
    with pytest.raises(UploadTooLargeError, match=r"1,001 bytes.*1,000.*MAX_UPLOAD_BYTES"):
        reader.feed(bytes(101))


def test_framing_cannot_grow_without_bound() -> None:
    reader = FilesReader(BOUNDARY, FormLimits("files", 1, "too many", 1000))
    reader.feed(form(part(b"x")))
    with pytest.raises(UploadTooLargeError):  # what stands behind the end is not kept, but counted
        reader.feed(bytes(1000 + FRAMING_BYTES))
