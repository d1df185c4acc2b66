"""``keraserve-train``: trains, imports, judges and manages published versions."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from app.errors import ArtifactError, SigningKeyError
from training.commands import (
    GATE_FAILED,
    INTERRUPTED,
    OK,
    PROGRAM,
    UNUSABLE_INPUT,
    evaluate,
    import_model,
    keygen,
    run,
    samples,
    sign,
    upgrade,
    versions,
)
from training.commands.messages import fail, set_up_logging
from training.config_file import ConfigError
from training.data.dataset import DataError
from training.fitting.run_directory import RunInUseError
from training.publishing.gate import GateError

COMMANDS = (run, evaluate, import_model, upgrade, samples, versions, sign, keygen)

_DESCRIPTION = """\
Trains image classifiers, judges them by images that they have not learnt from, and publishes them
as versions that `keraserve serve` can load. `keraserve-train COMMAND --help` tells more.
"""

_EXIT_CODES = """\
exit codes:
  0    done
  2    wrong arguments, configuration, data set or version
  3    refused by the gate; nothing is published
  130  stopped with Ctrl-C
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words, argparse.Namespace(words=tuple(words)))
    set_up_logging()
    code = _dispatch(arguments)
    if code == INTERRUPTED and argv is None:
        # TensorFlow's threads may still be inside a step; tearing the interpreter down under
        # them aborts the process now and then. Everything worth keeping is on disk.
        sys.stderr.flush()
        os._exit(code)
    return code


def _dispatch(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.handle(arguments)
        sys.stdout.flush()
    except (ConfigError, DataError, ArtifactError, RunInUseError, SigningKeyError) as error:
        return fail(str(error), UNUSABLE_INPUT)
    except GateError as error:
        return fail(f"not published: {error}", GATE_FAILED)
    except KeyboardInterrupt:
        return fail("stopped", INTERRUPTED)
    except BrokenPipeError:
        # `keraserve-train show … | head`: the reader has what it wanted. Without another place for
        # it, Python would report the rest that is still buffered at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:  # of the disk: what the user named, or what there is no room for
        if error.strerror is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        return fail(f"{place}{error.strerror}", UNUSABLE_INPUT)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
