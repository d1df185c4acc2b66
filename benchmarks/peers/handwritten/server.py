"""FastAPI, one ``asyncio.Queue``, one background worker: an image classifier that batches.

Written the way the well-known articles do it, with their avoidable slowness taken out; it is what
Keraserve is measured against. It has no limits, cancellation, metrics or versions on purpose.

    python -m benchmarks.peers.handwritten.server --saved-model DIR --port 8001
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, UploadFile
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from benchmarks.peers.network import Network, Prediction, option_parser


@dataclass(slots=True)
class Work:
    """One image on its way: ``(H, W, C)`` uint8, and the future that its request awaits."""

    pixels: NDArray[np.uint8]
    answer: asyncio.Future[list[Prediction]]


@dataclass(frozen=True, slots=True)
class Window:
    """When a batch closes.

    Attributes:
        max_batch_size: Images.
        timeout_s: After the first image.
        drain: Also take what has arrived by the time that the loop gets round to the timeout.
    """

    max_batch_size: int = 64
    timeout_s: float = 0.005
    drain: bool = False


async def collect(queue: asyncio.Queue[Work], window: Window) -> list[Work]:
    """Wait for one image, then for more until the window closes."""
    batch = [await queue.get()]
    try:
        async with asyncio.timeout(window.timeout_s):
            while len(batch) < window.max_batch_size:
                batch.append(await queue.get())
    except TimeoutError:
        pass
    while window.drain and len(batch) < window.max_batch_size and not queue.empty():
        batch.append(queue.get_nowait())
    return batch


async def work(queue: asyncio.Queue[Work], network: Network, window: Window) -> None:
    """Batch after batch, for ever; TensorFlow runs in a thread of its own."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1) as executor:
        while True:
            batch = await collect(queue, window)
            images = [item.pixels for item in batch]
            try:
                answers = await loop.run_in_executor(executor, network.classify, images)
            except Exception as error:  # the worker must outlive a failed batch
                for item in batch:
                    if not item.answer.done():
                        item.answer.set_exception(error)
                continue
            for item, answer in zip(batch, answers, strict=True):
                if not item.answer.done():
                    item.answer.set_result(answer)


def create_app(network: Network, window: Window) -> FastAPI:
    queue: asyncio.Queue[Work] = asyncio.Queue()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        network.warm_up(window.max_batch_size)
        worker = asyncio.create_task(work(queue, network, window))
        yield
        worker.cancel()

    app = FastAPI(lifespan=lifespan)

    # A response object skips FastAPI's serialisation of the returned value, in all its depth.
    @app.post("/classify", response_class=JSONResponse)
    async def classify(file: UploadFile) -> Any:
        try:
            pixels = network.decode(await file.read())
        except (UnidentifiedImageError, OSError) as error:
            raise HTTPException(422, "The file is no image.") from error
        answer: asyncio.Future[list[Prediction]] = asyncio.get_running_loop().create_future()
        queue.put_nowait(Work(pixels, answer))
        return JSONResponse({"predictions": await answer})

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--window-ms", type=float, default=5.0, help="after the first image")
    parser.add_argument("--drain", action="store_true", help="empty the queue at the timeout")
    options = parser.parse_args()
    network = Network(options.saved_model, options.threads)
    window = Window(options.max_batch_size, options.window_ms / 1e3, options.drain)
    uvicorn.run(
        create_app(network, window),
        host=options.host,
        port=options.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
