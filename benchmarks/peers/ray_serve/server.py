"""Ray Serve: one deployment whose replica decodes at arrival and executes in ``serve.batch``.

Runs in the peer's own environment: ``python -m benchmarks.peers.ray_serve.server``.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray import serve
from ray.serve.config import HTTPOptions
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.network import Network, Prediction, option_parser


@serve.deployment
class Classifier:
    """Asynchronous throughout: TensorFlow has a thread of its own, as Ray's guides advise."""

    def __init__(self, saved_model: Path, threads: int, batch: int, window_s: float) -> None:
        self._network = Network(saved_model, threads)
        self._network.warm_up(batch)
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._predict.set_max_batch_size(batch)
        self._predict.set_batch_wait_timeout_s(window_s)

    @serve.batch
    async def _predict(self, images: list[NDArray[np.uint8]]) -> list[list[Prediction]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(self._network.classify, images))

    async def __call__(self, request: Request) -> Response:
        async with request.form() as form:
            file: Any = form["file"]
            content = await file.read()
        best = await self._predict(self._network.decode(content))
        return Response(json.dumps({"predictions": best}), media_type="application/json")


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--window-ms", type=float, default=1.0, help="batch_wait_timeout_s")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--cpus", type=float, default=1.0, help="that a replica reserves")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Sockets lie in there, whose paths must be short.
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(
            include_dashboard=False, log_to_driver=True, configure_logging=True, _temp_dir=folder
        )
        serve.start(http_options=HTTPOptions(host=options.host, port=options.port))
        configurable: Any = Classifier
        deployment = configurable.options(
            num_replicas=options.replicas,
            max_ongoing_requests=4096,
            ray_actor_options={"num_cpus": options.cpus},
        )
        arguments = (
            options.saved_model,
            options.threads,
            options.max_batch_size,
            options.window_ms / 1e3,
        )
        serve.run(deployment.bind(*arguments), route_prefix="/classify")
        # Once more: Ray has put its own in its place, which ends the process without cleaning up.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            signal.pause()
        except KeyboardInterrupt:
            ray.shutdown()


if __name__ == "__main__":
    main()
