"""What the most expensive images cost: time of one core for each, and whether it was decoded.

    .venv/bin/python -m benchmarks.hostile_images
    .venv/bin/python -m benchmarks.hostile_images --unlimited   # as if there were no limit

The files are made here, and are those of ``tests/factories/hostile.py``.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable

from app.errors import ClientFaultError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.types import InputSpec
from tests.factories.hostile import DECODED, REFUSED

SPEC = InputSpec(32, 32, 3)
TRIES = 3
TOLERANCE = 1.5  # the figures behind the limit are those of one processor


def measure(make: Callable[[], bytes], policy: ImagingPolicy) -> tuple[int, float, str]:
    """Return bytes, the least CPU time of some tries in ms, and how it ended."""
    data = make()
    best_s, end = math.inf, ""
    for _ in range(TRIES):
        start = time.thread_time()
        try:
            decode_image(data, SPEC, policy)
            end = "decoded"
        except ClientFaultError as error:
            end = f"{error.code}: {error}"
        best_s = min(best_s, time.thread_time() - start)
    return len(data), best_s * 1000, end


def main() -> int:
    """Print the table; 1 if anything took much longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unlimited", action="store_true", help="decode whatever it takes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    limit_ms = math.inf if arguments.unlimited else ImagingPolicy().max_decode_ms
    slowest_ms = 0.0
    for name, make in (REFUSED | DECODED).items():
        size, spent_ms, end = measure(make, ImagingPolicy(max_decode_ms=limit_ms))
        slowest_ms = max(slowest_ms, spent_ms)
        print(f"{name:36} {size:>11,} B {spent_ms:8.1f} ms  {end}", flush=True)
    print(f"slowest: {slowest_ms:.1f} ms, limit: {limit_ms:g} ms")
    return int(slowest_ms > TOLERANCE * limit_ms)


if __name__ == "__main__":
    sys.exit(main())
