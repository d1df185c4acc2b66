"""LitServe: batched in the worker process, as its documentation does it.

Runs in the peer's own environment: ``python -m benchmarks.peers.litserve.server``. Annotations are
looked at when it starts, so they are no strings here.
"""

import warnings
from pathlib import Path
from typing import Any

import litserve as ls
import numpy as np
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from benchmarks.peers.network import Network, Prediction, option_parser


class Classifier(ls.LitAPI):
    """Decode, predict and encode in the worker; LitServe collects the batch before decoding."""

    def __init__(self, saved_model: Path, threads: int, **options: Any) -> None:
        super().__init__(**options)
        self._saved_model = saved_model
        self._threads = threads

    def setup(self, device: str) -> None:
        self.network = Network(self._saved_model, self._threads)
        self.network.warm_up(self.max_batch_size)

    def decode_request(self, request: Request) -> NDArray[np.uint8]:
        return self.network.decode(request["file"].file.read())

    def batch(self, inputs: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        return inputs

    def predict(self, images: list[NDArray[np.uint8]]) -> list[list[Prediction]]:
        return self.network.classify(images)

    def unbatch(self, output: list[list[Prediction]]) -> list[list[Prediction]]:
        return output

    def encode_response(self, output: list[Prediction]) -> Response:
        # A finished response: FastAPI does not walk through it to make it serialisable.
        return JSONResponse({"predictions": output})


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--window-ms", type=float, default=1.0, help="batch_timeout")
    parser.add_argument("--workers", type=int, default=1, help="workers_per_device")
    parser.add_argument("--timeout-s", type=float, default=30.0, help="timeout, in its queue")
    parser.add_argument("--api-servers", type=int, default=1, help="num_api_servers")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    api = Classifier(
        options.saved_model,
        options.threads,
        max_batch_size=options.max_batch_size,
        batch_timeout=options.window_ms / 1e3,
        api_path="/classify",
    )
    server = ls.LitServer(
        api, accelerator="cpu", workers_per_device=options.workers, timeout=options.timeout_s
    )
    server.run(
        host=options.host,
        port=options.port,
        num_api_servers=options.api_servers,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
        loop="uvloop",
        http="httptools",
    )


if __name__ == "__main__":
    main()
