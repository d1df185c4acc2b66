"""What is sent."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path

import pytest

from app.load.requests import NoRequestsError, image_files, image_request, ready_requests

CONTENT = bytes(range(256))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.PNG"
    path.write_bytes(CONTENT)
    return path


def test_form_carries_the_image_as_part_file(image: Path) -> None:
    request = image_request(image, "127.0.0.1:80", "/v1/classify?top_k=1", "multipart")
    line, _, rest = request.partition(b"\r\n")
    assert line == b"POST /v1/classify?top_k=1 HTTP/1.1"
    message = message_from_bytes(rest, policy=HTTP)
    assert message["Host"] == "127.0.0.1:80"
    assert int(message["Content-Length"]) == len(rest.partition(b"\r\n\r\n")[2])
    (part,) = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "file"
    assert part.get_content_type() == "image/png"
    assert part.get_payload(decode=True) == CONTENT


def test_raw_body_is_the_image_and_headers_go_with_it(image: Path) -> None:
    headers = {"Authorization": "Bearer key"}
    request = image_request(image, "h", "/v1/classify", "raw", headers)
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == CONTENT
    message = message_from_bytes(head.partition(b"\r\n")[2], policy=HTTP)
    assert message["Content-Type"] == "image/png"
    assert message["Content-Length"] == "256"
    assert message["Authorization"] == "Bearer key"


def test_name_of_a_file_cannot_break_the_form(tmp_path: Path) -> None:
    path = tmp_path / 'a"\r\nX: b.png'
    path.write_bytes(CONTENT)
    body = image_request(path, "h", "/", "multipart").partition(b"\r\n\r\n")[2]
    assert b'filename="a%22%0D%0AX: b.png"' in body


def test_images_are_found_in_all_folders_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "below" / "deeper").mkdir(parents=True)
    (tmp_path / "folder.png").mkdir()
    names = ["b.jpg", "a.webp", "below/c.TIF", "below/deeper/d.gif"]
    for name in [*names, "notes.txt", "below/e.heic"]:
        (tmp_path / name).write_bytes(b"x")
    assert image_files(tmp_path) == sorted(tmp_path / name for name in names)


def test_images_beyond_the_memory_limit_are_left_out_but_never_all(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(CONTENT)
    assert [path.name for path in image_files(tmp_path, 512)] == ["a.png", "b.png"]
    assert [path.name for path in image_files(tmp_path, 1)] == ["a.png"]


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"x")
    with pytest.raises(NoRequestsError, match=r"no image in .*\.jpg.*\.webp"):
        image_files(tmp_path)
    with pytest.raises(NoRequestsError, match="none is no folder"):
        image_files(tmp_path / "none")


def test_ready_requests_are_sent_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "b.http").write_bytes(b"second\r\n")
    (tmp_path / "a.http").write_bytes(b"first\0")
    (tmp_path / "c.txt").write_bytes(b"no")
    assert ready_requests(tmp_path) == [b"first\0", b"second\r\n"]
    with pytest.raises(NoRequestsError, match=r"no \*\.http in"):
        ready_requests(tmp_path / "none")
