"""``python -m benchmarks.soak``: see the package."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.processors import machine_line
from benchmarks.servers import ROOT, BenchmarkError
from benchmarks.soak.document import replace_section
from benchmarks.soak.findings import MOST_GROWTH, MOST_RESTART
from benchmarks.soak.run import soak

REQUESTS = 200_000
SWAPS = 20


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Send many requests of every kind while versions come and go. About 200,000 "
        "requests take a few minutes on two cores; progress is told.",
    )
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--swaps", type=int, default=SWAPS, help="versions published meanwhile")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-minutes", type=float, default=60, help="then it is given up")
    parser.add_argument(
        "--most-growth",
        type=float,
        default=MOST_GROWTH,
        help="memory at the end over that after the first tenth",
    )
    parser.add_argument(
        "--most-restart",
        type=float,
        default=MOST_RESTART,
        help="time until it serves after SIGKILL, over that of the first start",
    )
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models")
    parser.add_argument(
        "--document", type=Path, help="write the tables into the section Soak of this file"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="keraserve-soak-") as place:
            findings = soak(options, Path(place))
    except BenchmarkError as error:
        print(f"benchmarks.soak: {error}", file=sys.stderr)
        return 2
    tables = [findings.summary(), findings.answers()]
    print(machine_line())
    for table in tables:
        print(f"\n{table.as_text()}")
    for example in findings.tally.examples:
        print(f"  {example}")
    faults = findings.faults()
    print("\n" + ("\n".join(faults) if faults else "nothing failed, grew or stayed behind"))
    if options.document is not None:
        text = "\n\n".join([machine_line(), *(table.as_markdown() for table in tables)])
        replace_section(options.document, text)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
