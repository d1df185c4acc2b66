"""What a storm of the worst uploads takes of a server's memory, against what is promised."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.factories import hostile, images
from tests.keras.server_process import ROOT, Server, serving

pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc: issue 7"),
]

UPLOAD_BYTES = 20 * 1024 * 1024
CONCURRENCY = 16
ROUNDS = 2
PENDING_BYTES = 5 * UPLOAD_BYTES
CROWD = 48
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def promised_bytes() -> int:
    """The constant as it is written down."""
    found = re.search(r"plus (\d+) MiB", RELIABILITY)
    assert found is not None
    return int(found[1]) * 1024**2


def memory_bytes(server: Server, field: str) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@contextmanager
def server_with(*limits: str) -> Iterator[Server]:
    flags = ("--models", "fashion_mnist", "--default-model", "fashion_mnist")
    with serving(*flags, "--max-upload-bytes", str(UPLOAD_BYTES), *limits) as server:
        server.wait_for("ready")
        yield server


@pytest.fixture
def server() -> Iterator[Server]:
    with server_with() as server:
        yield server


@pytest.fixture
def crowded() -> Iterator[Server]:
    """A server that has room for five uploads."""
    with server_with("--max-pending-upload-bytes", str(PENDING_BYTES)) as server:
        yield server


def worst_uploads() -> dict[str, bytes]:
    """As many bytes as the limit allows, and as many pixels as the time to decode them allows."""
    return {
        "as long as may be": images.strip_tiff(bytes(UPLOAD_BYTES - 1024), 20_000, 1_000),
        "stopped by the clock": hostile.deflate_tables_png(9_000_000),
        "32 MP, one bit each": hostile.flat_png(
            5_700, 5_700, bit_depth=1, color_type=0, filter_type=0
        ),
        "14 MP in a palette": images.encode(Image.new("P", (3_800, 3_800)), "GIF"),
        "4 MP of 32 bits": hostile.flat_tiff(1_900, "I", "tiff_adobe_deflate"),
        "99 scans": hostile.scans_jpeg(1_400),
        "8 MP in WebP": hostile.flat_webp(2_800, "RGB", lossless=False),
        "refused by its header": hostile.flat_webp(7_000, "RGB", lossless=True),
    }


def send_together(server: Server, body: bytes, concurrency: int = CONCURRENCY) -> list[int]:
    """Send a body on many connections, each whole but for its last byte before any ends."""
    address = server.url.removeprefix("http://")
    with ExitStack() as stack:
        connections = [
            stack.enter_context(closing(http.client.HTTPConnection(address, timeout=60)))
            for _ in range(concurrency)
        ]

        def begin(connection: http.client.HTTPConnection) -> None:
            connection.putrequest("POST", "/v1/classify")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            connection.send(body[:-1])

        def finish(connection: http.client.HTTPConnection) -> int:
            connection.send(body[-1:])
            response = connection.getresponse()
            response.read()
            return response.status

        with ThreadPoolExecutor(concurrency) as clients:
            list(clients.map(begin, connections))
            return list(clients.map(finish, connections))


def test_memory_stays_within_uploads_and_the_constant_that_is_written_down(server: Server) -> None:
    idle_bytes = memory_bytes(server, "VmRSS")

    for _ in range(ROUNDS):
        for name, body in worst_uploads().items():
            statuses = send_together(server, body)
            assert set(statuses) <= {200, 413, 422, 429}, (name, statuses)

    peak_bytes = memory_bytes(server, "VmHWM")
    assert peak_bytes > idle_bytes + CONCURRENCY * UPLOAD_BYTES // 2  # it was a storm
    assert peak_bytes <= idle_bytes + CONCURRENCY * UPLOAD_BYTES + promised_bytes()
    assert send_together(server, images.encode(Image.new("L", (28, 28)), "PNG"))[0] == 200


def test_uploads_take_no_more_than_they_may_however_many_come(crowded: Server) -> None:
    idle_bytes = memory_bytes(crowded, "VmRSS")
    body = worst_uploads()["as long as may be"]
    assert CROWD * len(body) > PENDING_BYTES + promised_bytes() * 3 // 2  # else it proves nothing

    statuses = send_together(crowded, body, CROWD)

    assert {200, 429} == set(statuses)
    assert memory_bytes(crowded, "VmHWM") <= idle_bytes + PENDING_BYTES + promised_bytes()
    assert send_together(crowded, body, 1) == [200]
