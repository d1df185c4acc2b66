"""FastAPI, one ``asyncio.Queue``, one background worker: an image classifier that batches.

Written the way the well-known articles do it, with their avoidable slowness taken out; it is what
Keraserve is measured against. It has no limits, cancellation, metrics or versions on purpose.

    python -m benchmarks.peers.handwritten.server --saved-model DIR --port 8001
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import uvicorn
from fastapi import FastAPI, HTTPException, UploadFile
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MAX_BATCH_SIZE = 64
BATCH_TIMEOUT_S = 0.005
SIDE_PX = 32
TOP_K = 5

Prediction = dict[str, str | float]


@dataclass(slots=True)
class Work:
    """One image on its way: ``(32, 32, 3)`` uint8, and the future that its request awaits."""

    pixels: NDArray[np.uint8]
    answer: asyncio.Future[list[Prediction]]


class Classifier:
    """The SavedModel: one signature, called on a tensor."""

    def __init__(self, folder: Path) -> None:
        self._labels: list[str] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        self._loaded = tf.saved_model.load(str(folder))  # keeps the variables alive
        self._signature = self._loaded.signatures["serving_default"]
        self._input = next(iter(self._signature.structured_input_signature[1]))
        self._output = next(iter(self._signature.structured_outputs))

    def classify(self, images: list[NDArray[np.uint8]]) -> list[list[Prediction]]:
        batch = tf.constant(np.stack(images))  # (N, 32, 32, 3) uint8, 0..255
        scores = self._signature(**{self._input: batch})[self._output].numpy()  # (N, K) float32
        best = np.argsort(-scores, axis=1)[:, :TOP_K]  # (N, 5)
        return [
            [{"label": self._labels[k], "score": float(row[k])} for k in order]
            for row, order in zip(scores, best, strict=True)
        ]

    def warm_up(self) -> None:
        """Execute every batch size once: oneDNN prepares its kernels per shape."""
        image = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
        for size in range(1, MAX_BATCH_SIZE + 1):
            self.classify([image] * size)


def decode(content: bytes) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    if image.size != (SIDE_PX, SIDE_PX):
        image = image.resize((SIDE_PX, SIDE_PX))
    return np.asarray(image)  # (32, 32, 3) uint8, 0..255


async def collect(queue: asyncio.Queue[Work], *, drain: bool) -> list[Work]:
    """Wait for one image, then for up to 63 more until 5 ms after it.

    Args:
        queue: Where requests put their images.
        drain: Also take what has arrived by the time that the loop gets round to the timeout.
    """
    batch = [await queue.get()]
    try:
        async with asyncio.timeout(BATCH_TIMEOUT_S):
            while len(batch) < MAX_BATCH_SIZE:
                batch.append(await queue.get())
    except TimeoutError:
        pass
    while drain and len(batch) < MAX_BATCH_SIZE and not queue.empty():
        batch.append(queue.get_nowait())
    return batch


async def work(queue: asyncio.Queue[Work], classifier: Classifier, *, drain: bool) -> None:
    """Batch after batch, for ever; TensorFlow runs in a thread of its own."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1) as executor:
        while True:
            batch = await collect(queue, drain=drain)
            images = [item.pixels for item in batch]
            try:
                answers = await loop.run_in_executor(executor, classifier.classify, images)
            except Exception as error:  # the worker must outlive a failed batch
                for item in batch:
                    if not item.answer.done():
                        item.answer.set_exception(error)
                continue
            for item, answer in zip(batch, answers, strict=True):
                if not item.answer.done():
                    item.answer.set_result(answer)


def create_app(saved_model: Path, *, drain: bool = False) -> FastAPI:
    queue: asyncio.Queue[Work] = asyncio.Queue()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        classifier = Classifier(saved_model)
        classifier.warm_up()
        worker = asyncio.create_task(work(queue, classifier, drain=drain))
        yield
        worker.cancel()

    app = FastAPI(lifespan=lifespan)

    # A response object skips FastAPI's serialisation of the returned value, in all its depth.
    @app.post("/classify", response_class=JSONResponse)
    async def classify(file: UploadFile) -> Any:
        try:
            pixels = decode(await file.read())
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--saved-model", type=Path, required=True, help="folder with labels.json")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--drain", action="store_true", help="empty the queue at the timeout")
    options = parser.parse_args()
    uvicorn.run(
        create_app(options.saved_model, drain=options.drain),
        host=options.host,
        port=options.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
