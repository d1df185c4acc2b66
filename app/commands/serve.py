"""``keraserve serve``: runs the server."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from app.settings import COMMAND_LINE_KEY, ENV_PREFIX, Settings, SettingsError, load_settings


def add_serve_command(commands: Any) -> None:
    """Add the command to the parsers of ``keraserve``; every setting is a flag."""
    serve = commands.add_parser(
        "serve",
        help="serve the published models",
        description="Serve the published models. Every flag is also an environment variable "
        "(in brackets) and may stand in .env; a flag wins over both.",
        formatter_class=_WideHelp,
    )
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "unset" if default is None or default == () else default
        serve.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="VALUE",
            help=f"{field.description} [{ENV_PREFIX}{name.upper()}, default: {shown}]".replace(
                "%", "%%"
            ),
        )
    serve.set_defaults(command=_serve)


class _WideHelp(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)


def _serve(options: argparse.Namespace) -> int:
    # TensorFlow's C++ start-up lines would stand between our log lines; errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    flags = {name: getattr(options, name) for name in Settings.model_fields}
    settings = load_settings(**flags)
    if not settings.model_dir.is_dir():
        raise SettingsError(
            f"the model store {settings.model_dir} is no folder ({ENV_PREFIX}MODEL_DIR)"
        )
    if COMMAND_LINE_KEY in os.environ and settings.api_keys_file is None:
        print(
            f"keraserve: {COMMAND_LINE_KEY} is a client's key and protects nothing; to ask for "
            f"keys, set {ENV_PREFIX}API_KEYS_FILE",
            file=sys.stderr,
        )
    from app.server import serve  # imported here: `models list` needs no web server

    return serve(settings)
