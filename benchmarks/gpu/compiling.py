"""``python -m benchmarks.gpu.compiling``: what trying out kernels costs at the start, and brings.

XLA times several kernels for each convolution when it compiles, on the device. This compiles the
CIFAR-10 network with that and without it, each in a process of its own, and tells what its
executions take.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial

LEVELS = ("4", "0")
"""Of ``--xla_gpu_autotune_level``: its default, and none."""


def child(sizes: tuple[int, ...]) -> None:
    """Measure in this process; print JSON."""
    from app.artifacts.manifest import read_manifest
    from benchmarks.engines import newest
    from benchmarks.gpu.executions import NUMBERS, build, random_images, repeated_s
    from benchmarks.servers import ROOT

    folder = newest(ROOT / "models" / "cifar10")
    manifest = read_manifest(folder)
    begin_s = time.monotonic()
    servable = build(folder, manifest, NUMBERS[0], sizes)
    found = {"compiled_s": round(time.monotonic() - begin_s, 1)}
    for size in sizes:
        images = random_images(manifest, size)
        found[f"{size}_ms"] = round(repeated_s(partial(servable.execute, images)) * 1e3, 3)
    print(json.dumps(found))


def main() -> int:
    """Compare the levels."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.compiling", description=__doc__)
    parser.add_argument("--sizes", default="1,32,256", help="batches, images")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(tuple(int(size) for size in options.sizes.split(",")))
        return 0
    for level in LEVELS:
        environment = {
            **os.environ,
            "KERAS_BACKEND": "jax",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level={level}",
        }
        words = [sys.executable, "-m", "benchmarks.gpu.compiling", "--child"]
        words += ["--sizes", options.sizes]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        told = done.stdout.strip() or done.stderr[-500:]
        print(f"autotune level {level}: {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
