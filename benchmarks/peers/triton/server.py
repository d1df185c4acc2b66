"""Triton Inference Server through PyTriton, for decoded tensors or for encoded images.

Runs in the peer's own environment: ``python -m benchmarks.peers.triton.server``. Triton does HTTP,
queueing and batching in C++; the functions below execute what it hands over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.model_config.common import QueuePolicy, TimeoutAction
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.network import Network, option_parser

MODEL = "classifier"


def on_tensors(network: Network) -> Callable[..., Any]:
    """Return what Triton calls with decoded images."""

    @batch
    def infer(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return {"scores": network.scores(images)}  # (N, H, W, C) uint8 → (N, K) float32

    return infer


def on_files(network: Network) -> Callable[..., Any]:
    """Return what Triton calls with encoded images."""

    @batch
    def infer(images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        pixels = np.stack([network.decode(file) for file in images[:, 0]])  # of (N, 1) bytes
        return {"scores": network.scores(pixels)}

    return infer


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--encoded", action="store_true", help="take files, decode them here")
    parser.add_argument("--instances", type=int, default=1, help="of the function, in threads")
    parser.add_argument("--window-us", type=int, default=0, help="max_queue_delay_microseconds")
    parser.add_argument("--timeout-ms", type=int, default=0, help="in its queue; 0: none")
    parser.add_argument("--http-threads", type=int, default=8, help="Triton's default is 8")
    options = parser.parse_args()
    network = Network(options.saved_model, options.threads)
    network.warm_up(options.max_batch_size)
    make = on_files if options.encoded else on_tensors
    images = (
        Tensor(name="images", dtype=bytes, shape=(1,))
        if options.encoded
        else Tensor(name="images", dtype=np.uint8, shape=network.shape)
    )
    config = TritonConfig(
        http_address=options.host,
        http_port=options.port,
        http_thread_count=options.http_threads,
        allow_grpc=False,
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=MODEL,
            infer_func=[make(network) for _ in range(options.instances)],
            inputs=[images],
            outputs=[Tensor(name="scores", dtype=np.float32, shape=(len(network.labels),))],
            config=ModelConfig(
                max_batch_size=options.max_batch_size,
                batcher=DynamicBatcher(
                    max_queue_delay_microseconds=options.window_us,
                    default_queue_policy=QueuePolicy(
                        timeout_action=TimeoutAction.REJECT,
                        default_timeout_microseconds=options.timeout_ms * 1000,
                    ),
                ),
            ),
        )
        triton.serve()


if __name__ == "__main__":
    main()
