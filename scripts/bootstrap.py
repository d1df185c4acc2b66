"""Make ``.venv`` hold what the lock files say, or say why that is impossible.

Called by the Makefile, with the layers that the target needs::

    python3 -m scripts.bootstrap serve tensorflow train dev

When nothing changed it takes a moment and prints nothing. It runs on the Python that the system
has, with the standard library alone; the environment is made with a Python that TensorFlow
supports. Where packages come from is pip's own configuration.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from scripts.environment import Environment
from scripts.interpreters import BootstrapError, choose_interpreter, say

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("serve", "tensorflow", "samples", "train", "dev", "fuzz")


def has_nvidia_driver() -> bool:
    """Tell whether this machine can run CUDA programs."""
    if Path("/proc/driver/nvidia/version").exists():
        return True
    command = shutil.which("nvidia-smi")  # WSL has this and not the file above
    if command is None:
        return False
    try:
        done = subprocess.run([command, "-L"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def choose_accelerator(wish: str) -> str:
    """Return ``cpu`` or ``gpu``; TensorFlow has CUDA builds for Linux on x86-64 only."""
    if wish != "auto":
        return wish
    has_cuda_build = sys.platform == "linux" and platform.machine() in {"x86_64", "AMD64"}
    return "gpu" if has_cuda_build and has_nvidia_driver() else "cpu"


def locks_of(layer: str, accelerator: str) -> list[str]:
    """Return the lock files of a layer; a server for the GPU has TensorFlow already."""
    if layer == "serve":
        return [accelerator]
    if layer == "tensorflow":
        return ["tensorflow-cpu"] if accelerator == "cpu" else []
    return [layer]


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time install; the folder itself is the lock, so no file is left."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another make that is installing")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def stop(number: int, _frame: FrameType | None) -> None:
    """End by an exception, so that pip is ended too."""
    sys.exit(128 + number)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m scripts.bootstrap", description=__doc__)
    parser.add_argument("layers", nargs="+", choices=LAYERS, metavar="LAYER")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Bring the environment to the wanted layers; 0 when it is."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, stop)  # make passes its own on, to this process only
    python = os.environ.get("PYTHON") or None
    try:
        accelerator = choose_accelerator(options.accelerator)
        locks = [lock for layer in options.layers for lock in locks_of(layer, accelerator)]
        environment = Environment(ROOT / ".venv", ROOT, lambda: choose_interpreter(python))
        with exclusive(ROOT / "requirements"):
            environment.bring_to(locks, python)
    except BootstrapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the next make starts the environment afresh", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
