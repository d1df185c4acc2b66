"""Runs the fuzzer over the targets: coverage-guided, from the corpus, for a bounded time.

    make fuzz                                   # 24 s over all targets, as CI does
    make fuzz ARGS="--seconds 3600 decode"      # an hour of images

What it learns is kept in ``data/fuzz/<target>`` and is where the next run goes on; what breaks a
promise is written to ``data/fuzz/broken``, and the run ends with 1. Repeat such a file with
``make fuzz ARGS="--repeat FILE decode"``, and put it into ``tests/fuzz/corpus`` with the mending.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
LEARNT = ROOT / "data" / "fuzz"
NAMES = sorted(folder.name for folder in CORPUS.iterdir())
_MOST_BYTES = 8_192
_SLOW_S = 10
_MEMORY_MB = 2_048


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", default=NAMES, help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=int, default=24, help="for all targets together")
    parser.add_argument("--repeat", type=Path, help="run one target over one file")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.targets) - set(NAMES))
    if unknown:
        parser.error(f"there is no target {unknown[0]}; there are: {', '.join(NAMES)}")
    return arguments


def load(target: str) -> Callable[[bytes], None]:
    """Import a target, and what it calls, so that the fuzzer sees which branches are taken."""
    with atheris.instrument_imports(include=["app", "PIL", "python_multipart"]):
        from app.imaging.quiet import quieten_pillow
        from tests.fuzz.targets import TARGETS
    warnings.simplefilter("ignore")
    quieten_pillow()
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # as the service does
    return TARGETS[target]


def fuzz(target: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    learnt, broken = LEARNT / target, LEARNT / "broken"
    for folder in (learnt, broken):
        folder.mkdir(parents=True, exist_ok=True)
    flags = [
        f"-max_total_time={seconds}", f"-max_len={_MOST_BYTES}", f"-timeout={_SLOW_S}",
        f"-rss_limit_mb={_MEMORY_MB}", f"-artifact_prefix={broken}/{target}-", "-close_fd_mask=0",
        "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *flags, str(learnt), str(CORPUS / target)], load(target))
    atheris.Fuzz()


def main() -> int:
    """Fuzz the targets one after the other; 1 if one of them broke."""
    arguments = parse()
    targets = arguments.targets
    if arguments.repeat is not None:
        load(targets[0])(arguments.repeat.read_bytes())
        return 0
    if arguments.alone:
        fuzz(targets[0], arguments.seconds)
    seconds = max(1, arguments.seconds // len(targets))
    failed = [target for target in targets if _run(target, seconds) != 0]
    print(f"fuzzed {', '.join(targets)}; broken: {', '.join(failed) or 'none'}")
    return int(bool(failed))


def _run(target: str, seconds: int) -> int:
    """Fuzz a target in a process of its own: the fuzzer ends the one that it runs in."""
    print(f"--- {target}, {seconds} s", flush=True)
    command = [sys.executable, "-m", "tests.fuzz", "--alone", "--seconds", str(seconds), target]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
