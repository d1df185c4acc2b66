"""A server that answers every request with the same bytes: the ceiling of the load generator.

python -m benchmarks.load.fixed_answer --port 8002
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import uvloop

BODY = b'{"predictions": [{"label": "cat", "score": 0.5}]}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    + BODY
)


class FixedAnswer(asyncio.Protocol):
    """Counts bytes until a request is whole, as cheaply as can be."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        received = self._received + data
        end = received.find(b"\r\n\r\n")
        at = received.find(b"Content-Length: ", 0, end) + 16
        length = int(received[at : received.find(b"\r\n", at)]) if at >= 16 else 0
        if end < 0 or len(received) < end + 4 + length:
            self._received = received
            return
        self._received = b""
        self._transport.write(ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(FixedAnswer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
