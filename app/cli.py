"""The ``keraserve`` command: joins what ``app.commands`` has."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from app import __version__
from app.commands.admin import RequestFailedError, add_admin_commands
from app.commands.bench import add_bench_command
from app.commands.classify import add_classify_command
from app.commands.export import add_export_command
from app.commands.keys import add_keys_commands
from app.commands.serve import add_serve_command
from app.commands.store import add_store_commands
from app.commands.tune import add_tune_command
from app.errors import ServingError
from app.settings import SettingsError

_FAILURE, _USAGE_ERROR = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 for a failure, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (SettingsError, ServingError) as error:
        for line in str(error).splitlines():
            print(f"keraserve: {line}", file=sys.stderr)
        return _FAILURE if isinstance(error, RequestFailedError) else _USAGE_ERROR
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keraserve", description="Serve Keras image classifiers over HTTP."
    )
    parser.add_argument("--version", action="version", version=f"keraserve {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_serve_command(commands)
    add_classify_command(commands)
    add_tune_command(commands)
    add_bench_command(commands)
    models = commands.add_parser("models", help="look at published models, and say what is served")
    model_commands = models.add_subparsers(required=True, metavar="COMMAND")
    add_store_commands(model_commands)
    add_export_command(model_commands)
    add_admin_commands(model_commands)
    keys = commands.add_parser("keys", help="make and revoke API keys")
    add_keys_commands(keys.add_subparsers(required=True, metavar="COMMAND"))
    return parser
