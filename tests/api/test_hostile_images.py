"""Hostile images against a server behind a socket: each is answered, and the server goes on."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.api.live_server import LiveServer, listening
from tests.api.world import PATIENCE_S, assert_problem, picture
from tests.factories import hostile, images

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
STEP_BYTES = 64
REFUSALS = {
    413: {"image_too_large", "upload_too_large"},
    415: {"unsupported_format"},
    422: {"invalid_image", "invalid_request"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with listening(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture
def client(server: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=4 * PATIENCE_S) as client:
        yield client
        assert classify(client, picture()).status_code == 200


def classify(client: httpx.Client, data: bytes, kind: str = "image/png") -> httpx.Response:
    return client.post("/v1/classify", content=data, headers={"Content-Type": kind})


def assert_answered(response: httpx.Response) -> None:
    """Assert labels, or a problem that says that it is the file's fault."""
    status = response.status_code
    if status == 200:
        assert response.json()["predictions"]
    else:
        assert status in REFUSALS, response.text
        code = response.json()["code"]
        assert code in REFUSALS[status]
        assert_problem(response, status, code)


def sample(format_name: str, **options: Any) -> bytes:
    image = images.photo().resize((80, 60))
    exif = images.orientation_exif(6)
    if format_name not in ("BMP", "GIF"):
        options["exif"] = exif
    return images.encode(
        image.convert("P") if format_name == "GIF" else image, format_name, **options
    )


SAMPLES = {name: sample(name) for name in FORMATS} | {
    "progressive JPEG": sample("JPEG", progressive=True),
    "lossless WEBP": sample("WEBP", lossless=True),
    "deflated TIFF": sample("TIFF", compression="tiff_adobe_deflate"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_file_cut_at_every_64th_byte_is_answered(client: httpx.Client, name: str) -> None:
    data = SAMPLES[name]
    statuses = set()

    for end in range(STEP_BYTES, len(data), STEP_BYTES):
        response = classify(client, data[:end])
        assert_answered(response)
        statuses.add(response.status_code)

    assert 422 in statuses
    assert classify(client, data).status_code == 200


@pytest.mark.parametrize("name", FORMATS)
def test_content_decides_whatever_type_and_name_say(client: httpx.Client, name: str) -> None:
    data = SAMPLES[name]
    for other in FORMATS:
        raw = classify(client, data, f"image/{other.lower()}")
        file = (f"picture.{other.lower()}", data, f"image/{other.lower()}")
        form = client.post("/v1/classify", files={"file": file})
        for response in (raw, form):
            assert response.status_code == 200
            assert response.json()["image"]["format"] == name


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "a\\b.png",
        "%00.png",
        "猫.png",
        "x" * 3_000,
        "<script>.png",
        "a.php\u202egnp",
    ],
)
def test_file_name_means_nothing(client: httpx.Client, name: str) -> None:
    response = client.post("/v1/classify", files={"file": (name, picture(), "image/png")})

    assert response.status_code == 200


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("picture.png", content)
    return file.getvalue()


SCRIPT = b"<script>alert(1)</script>"
POLYGLOTS: dict[str, tuple[bytes, str | None]] = {
    "PNG and ZIP": (SAMPLES["PNG"] + zipped(b"x"), "PNG"),
    "JPEG and HTML": (
        images.insert_jpeg_segments(SAMPLES["JPEG"], images.jpeg_segment(0xFE, SCRIPT)), "JPEG"
    ),
    "GIF and JavaScript": (SAMPLES["GIF"] + b"*/=1;alert(1)", "GIF"),
    "TIFF and PNG": (SAMPLES["TIFF"] + SAMPLES["PNG"], "TIFF"),
    "BMP and GIF": (SAMPLES["BMP"] + SAMPLES["GIF"], "BMP"),
    "WebP in RIFF and more": (SAMPLES["WEBP"] + b"RIFF" + bytes(40), "WEBP"),
    "PDF before a JPEG": (b"%PDF-1.7\n" + SAMPLES["JPEG"], None),
    "ZIP of a PNG": (zipped(SAMPLES["PNG"]), None),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'>" + SCRIPT + b"</svg>", None),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", None),
    "ICO of a PNG": (b"\0\0\1\0\1\0\x10\x10\0\0\1\0 \0" + SAMPLES["PNG"], None),
    "RIFF of sound": (b"RIFF\x24\0\0\0WAVEfmt ", None),
}  # fmt: skip


@pytest.mark.parametrize("name", POLYGLOTS)
def test_polyglot_is_what_its_first_bytes_say(client: httpx.Client, name: str) -> None:
    data, format_name = POLYGLOTS[name]

    response = classify(client, data)

    if format_name is None:
        assert_problem(response, 415, "unsupported_format")
    else:
        assert response.json()["image"]["format"] == format_name


def png_with(*chunks: bytes) -> bytes:
    return images.insert_png_chunks(SAMPLES["PNG"], b"".join(chunks))


def jpeg_with(marker: int, content: bytes, count: int) -> bytes:
    return images.insert_jpeg_segments(
        SAMPLES["JPEG"], images.jpeg_segment(marker, content) * count
    )


METADATA: dict[str, Callable[[], bytes]] = {
    "PNG, 12 MB of text": lambda: png_with(images.png_chunk(b"tEXt", b"a\0" + bytes(12_000_000))),
    "PNG, 4,000 compressed texts": lambda: png_with(images.text_bomb_chunk(b"zTXt") * 4_000),
    "PNG, 4,000 profiles": lambda: png_with(images.text_bomb_chunk(b"iCCP") * 4_000),
    "PNG, EXIF of 900,000 entries": lambda: png_with(
        images.png_chunk(b"eXIf", b"II+\0\x08\0\0\0" + (900_000).to_bytes(16, "little") * 900_000)
    ),
    "JPEG, 18 MB of EXIF": partial(
        jpeg_with, 0xE1, b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 65_000, 280
    ),
    "JPEG, 18 MB of profiles": partial(jpeg_with, 0xE2, b"ICC_PROFILE\0\1\1" + bytes(65_000), 280),
    "JPEG, 18 MB of XMP": partial(
        jpeg_with, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 65_000, 280
    ),
    "WebP, 18 MB of EXIF": lambda: images.encode(
        Image.new("RGB", (8, 8)),
        "WEBP",
        exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(18_000_000),
    ),
    "WebP, 18 MB of profile": lambda: images.encode(
        Image.new("RGB", (8, 8)), "WEBP", icc_profile=bytes(18_000_000)
    ),
    "GIF, 1 MB of comments": lambda: hostile.blocks_gif(
        1_000_000, b"!\xfe\xff" + bytes(255) + b"\0"
    ),
    "GIF, a million frames": partial(hostile.frames_gif, 1_000_000),
    "TIFF, 1.8 million resolutions": partial(hostile.tag_tiff, 282, 5, 1_800_000, 15_000_000),
    "TIFF, 14 MB of profile": partial(hostile.tag_tiff, 34_675, 7, 14_000_000, 15_000_000),
}


@pytest.mark.parametrize("name", METADATA)
def test_absurd_metadata_is_passed_over(client: httpx.Client, name: str) -> None:
    assert classify(client, METADATA[name]()).status_code == 200


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG, 3.6 gigapixels": partial(images.huge_png, 60_000, 60_000),
    "PNG, the most that fits": partial(images.huge_png, 2**31 - 1, 2**31 - 1),
    "PNG, 49 MP": partial(hostile.flat_png, 7_000, 7_000, bit_depth=1, color_type=0, filter_type=0),
    "JPEG, 65,535 squared": lambda: SAMPLES["JPEG"].replace(b"\0\x3c\0\x50", b"\xff\xff\xff\xff"),
    "JPEG, 99 scans of 4 MP": partial(hostile.scans_jpeg, 2_000),
    "WebP, 16,383 squared": partial(images.huge_webp, 16_383, 16_383),
    "WebP, 49 MP": partial(hostile.flat_webp, 7_000, "RGB", lossless=True),
    "WebP, 65,536 code tables": partial(hostile.code_tables_webp, 1_024),
    "GIF, 65,535 squared": partial(images.gif_with_frame, (65_535, 65_535), (1, 1)),
    "GIF, frame beyond the screen": partial(images.gif_with_frame, (8, 8), (65_535, 65_535)),
    "GIF, 4 million comments": partial(hostile.blocks_gif, 19_000_000),
    "BMP, 2 gigapixels": partial(hostile.run_length_bmp, 50_000, 40_000, b"\0\1"),
    "BMP, two ends of lines for 50 MP": partial(
        hostile.run_length_bmp, 5_000_000, 10, b"\0\0\1\1" * 10
    ),
    "TIFF, one tile of 65,536 squared": partial(images.tile_bomb_tiff, 8_192),
    "TIFF, 70,000 strips": partial(images.many_tiles_tiff, 70_000),
    "TIFF, 19 MB of empty deflate blocks": partial(hostile.deflate_tables_tiff, 19_000_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused(client: httpx.Client, name: str) -> None:
    response = classify(client, BOMBS[name]())

    assert response.status_code in (413, 422)
    assert_answered(response)


def test_bad_files_of_a_batch_do_not_fail_the_good_one(client: httpx.Client) -> None:
    files = [data for data, _ in POLYGLOTS.values()] + [picture()]

    response = client.post("/v1/classify/batch", files=[("files", data) for data in files])

    results = response.json()["results"]
    assert response.status_code == 200
    assert len(results) == len(files)
    assert results[-1]["predictions"]
