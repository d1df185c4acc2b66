"""BentoML: one service whose only API is batchable, so that its adaptive batching does the work.

Runs in the peer's own environment: ``python -m benchmarks.peers.bentoml.server``. BentoML imports
this module again in its worker; the options come to it in variables. Annotations are looked at
when it starts, so they are no strings here.
"""

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
from PIL.Image import Image

from benchmarks.peers.network import Network, option_parser

_PREFIX = "BENCHMARK_BENTOML_"
_MAX_BATCH_SIZE = int(os.environ.get(f"{_PREFIX}MAX_BATCH_SIZE", "64"))
_MAX_LATENCY_MS = int(os.environ.get(f"{_PREFIX}MAX_LATENCY_MS", "10000"))
_WORKERS = int(os.environ.get(f"{_PREFIX}WORKERS", "2"))
_SAVED_MODEL = Path(os.environ.get(f"{_PREFIX}SAVED_MODEL", ""))
_THREADS = int(os.environ.get(f"{_PREFIX}THREADS", "0"))


@bentoml.service(
    name="classifier",
    workers=_WORKERS,
    threads=1,
    traffic={"timeout": 30},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Classifier:
    """Images arrive opened but not decoded; decoding and the network are one step per batch."""

    def __init__(self) -> None:
        self.network = Network(_SAVED_MODEL, _THREADS)
        self.network.warm_up(_MAX_BATCH_SIZE)

    @bentoml.api(batchable=True, max_batch_size=_MAX_BATCH_SIZE, max_latency_ms=_MAX_LATENCY_MS)
    def classify(self, file: list[Image]) -> list[dict[str, Any]]:
        pixels = [self.network.pixels(image) for image in file]
        return [{"predictions": best} for best in self.network.classify(pixels)]


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--max-latency-ms", type=int, default=10_000)
    options = parser.parse_args()
    values = {
        "MAX_BATCH_SIZE": options.max_batch_size,
        "MAX_LATENCY_MS": options.max_latency_ms,
        "WORKERS": options.workers,
        "SAVED_MODEL": options.saved_model,
        "THREADS": options.threads,
    }
    os.environ.update({f"{_PREFIX}{name}": str(value) for name, value in values.items()})
    command = [
        *(str(Path(sys.executable).with_name("bentoml")), "serve"),
        f"{__spec__.name}:Classifier",
        *("--host", options.host, "--port", str(options.port)),
        "--production",
    ]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
