"""``keraserve models load``, ``unload``, ``rollback``, …: orders to a running server."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.errors import ServingError
from app.settings import COMMAND_LINE_KEY, ENV_PREFIX, SettingsError

DEFAULT_URL = "http://127.0.0.1:8000"

_URL_VARIABLE = f"{ENV_PREFIX}URL"

_ANSWER_S = 10.0
"""On top of what an order may wait for at the server."""

_WAIT_S = 600
"""Most that the server waits with its answer."""

_CANARY_DESCRIPTION = """\
Lets another version answer a share of the requests that name no version. It ends by itself where
too many of its requests fail, or where it is too slow; `status` says why.

  keraserve models canary cifar10 3 0.05        version 3 answers 5 %
  keraserve models canary cifar10 latest 0.05   whatever is newer than the default version
  keraserve models canary cifar10 --off
  keraserve models label cifar10 stable 3 --url http://127.0.0.1:8000   promote it
"""


class RequestFailedError(ServingError):
    """The server refused, or is not there; the message is for people."""


def add_admin_commands(model_commands: Any) -> None:
    """Add the commands to the parsers of ``keraserve models``."""
    for name, help_text in (
        ("load", "serve a version, or a model again"),
        ("unload", "stop serving a version, or a whole model"),
    ):
        command = _command(model_commands, name, help_text)
        command.add_argument("name", metavar="MODEL")
        command.add_argument("version", metavar="VERSION", nargs="?", type=int)
        command.set_defaults(command=_load_or_unload, action=name)
    rollback = _command(model_commands, "rollback", "let the previous default version answer")
    rollback.add_argument("name", metavar="MODEL")
    rollback.set_defaults(command=_roll_back)
    _command(model_commands, "reload", "look at the store now, and retry what FAILED").set_defaults(
        command=_reload
    )
    for name, help_text, text in (
        ("canary", "let another version answer a share of the requests", _CANARY_DESCRIPTION),
        ("shadow", "compare another version on a share of the images", None),
    ):
        command = _command(model_commands, name, help_text, text)
        command.add_argument("name", metavar="MODEL")
        command.add_argument(
            "target", metavar="TARGET", nargs="?", help="a version, a label, or latest"
        )
        command.add_argument("share", metavar="SHARE", nargs="?", type=_number, help="0 to 1")
        command.add_argument("--off", action="store_true", help="end it")
        if name == "canary":
            _add_thresholds(command)
        command.set_defaults(command=_set_share, action=name)
    status = _command(model_commands, "status", "say who serves, since when, and why others do not")
    status.add_argument("name", metavar="MODEL", nargs="?")
    status.add_argument("--json", action="store_true", help="print the server's answer")
    status.set_defaults(command=_show_status)


def _add_thresholds(command: argparse.ArgumentParser) -> None:
    # What they mean and their defaults are the server's: CanaryPlan and its settings.
    for flag, kind, text in (
        (
            "--max-error-rate",
            _number,
            "share of failed requests above the default version's at which it ends, 0 to 1",
        ),
        (
            "--max-latency-ratio",
            _number,
            "multiple of the default version's p95 above which it ends",
        ),
        ("--min-requests", int, "requests before anything is concluded, 1 to 500"),
    ):
        command.add_argument(
            flag, metavar="N", type=kind, help=f"{text}; default: the server's setting"
        )


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # argparse says which argument it is
        raise ValueError(text)
    return number


def _command(commands: Any, name: str, help_text: str, description: str | None = None) -> Any:
    command = commands.add_parser(
        name,
        help=f"{help_text} (of a running server)",
        description=description or f"{help_text.capitalize()}; asks a running server.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_server_options(command)
    return command


def add_server_options(command: argparse.ArgumentParser, *, is_asked: bool = True) -> None:
    """Add ``--url`` and ``--key-file``; ``is_asked``: a server is asked in any case."""
    shown = f"default: {DEFAULT_URL}" if is_asked else "without, the store is written"
    command.add_argument(
        "--url", metavar="URL", help=f"address of the server [{_URL_VARIABLE}, {shown}]"
    )
    command.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help=f"file with an API key of the scope admin [or the key in {COMMAND_LINE_KEY}]",
    )


def _send(
    options: argparse.Namespace, method: str, path: str, body: Mapping[str, Any] | None = None
) -> int:
    """Send one order, print how its model stands, and return the exit code.

    Raises:
        RequestFailedError: The server is not there, or refused; says why.
    """
    answer = _ask(options, method, f"/v1/admin{path}", body, wait_s=_WAIT_S)
    print("changed" if answer["changed"] else "nothing to change")
    for model in answer["models"]:
        _print_model(model)
    if not answer["settled"]:
        print(
            "the server still loads; `keraserve models status` tells how it goes on, and the same"
        )
        print("order once more waits for it")
    return 0


def is_for_server(options: argparse.Namespace) -> bool:
    """Tell whether a command that can do either is meant for a server, or for a folder."""
    if options.url is not None and options.model_dir is not None:
        raise SettingsError("give --url or --model-dir, not both")
    return options.url is not None or (
        options.model_dir is None and bool(os.environ.get(_URL_VARIABLE))
    )


def order_label(options: argparse.Namespace) -> int:
    """Have a server point a label at a version, or take it away."""
    path = f"/models/{quote(options.name, safe='')}/labels/{quote(options.label, safe='')}"
    if options.remove:
        return _send(options, "DELETE", path)
    return _send(options, "PUT", path, {"version": options.version})


def _load_or_unload(options: argparse.Namespace) -> int:
    version = "" if options.version is None else f"?version={options.version}"
    return _send(
        options, "POST", f"/models/{quote(options.name, safe='')}/{options.action}{version}"
    )


def _roll_back(options: argparse.Namespace) -> int:
    return _send(options, "POST", f"/models/{quote(options.name, safe='')}/rollback")


def _reload(options: argparse.Namespace) -> int:
    return _send(options, "POST", "/reload")


def _set_share(options: argparse.Namespace) -> int:
    path = f"/models/{quote(options.name, safe='')}/{options.action}"
    if options.off != (options.target is None) or options.off != (options.share is None):
        raise SettingsError("give a target and a share, or --off")
    if options.off:
        return _send(options, "DELETE", path)
    body = {"target": options.target, "share": options.share}
    thresholds = ("max_error_rate", "max_latency_ratio", "min_requests")
    given = {
        name: value for name in thresholds if (value := getattr(options, name, None)) is not None
    }
    return _send(options, "PUT", path, body | given)


def _show_status(options: argparse.Namespace) -> int:
    path = "/v1/models" if options.name is None else f"/v1/models/{quote(options.name, safe='')}"
    answer = _ask(options, "GET", path)
    if options.json:
        print(json.dumps(answer, indent=2))
        return 0
    for model in answer.get("models", [answer]):
        _print_model(model)
    return 0


def _ask(
    options: argparse.Namespace,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    wait_s: float = 0,
) -> dict[str, Any]:
    # Here: the server, which has the same command, needs none.
    from app.client import Client, KeraserveError, NotAnsweredError

    url = options.url or os.environ.get(_URL_VARIABLE) or DEFAULT_URL
    try:
        with Client(url, api_key=key_of(options), timeout_s=_ANSWER_S, retries=0) as client:
            return client.request_json(
                method, path, query={"wait_s": wait_s or None}, body=body, wait_s=wait_s
            )
    except (KeraserveError, ValueError) as error:
        hint = " (--url)" if isinstance(error, NotAnsweredError | ValueError) else ""
        raise RequestFailedError(f"{error}{hint}") from error


def key_headers(options: argparse.Namespace) -> dict[str, str]:
    """Return the header that carries the key, if there is one; see ``key_of``."""
    key = key_of(options)
    return {"Authorization": f"Bearer {key}"} if key else {}


def key_of(options: argparse.Namespace) -> str | None:
    """Return the key of ``--key-file`` or the environment, if there is one.

    Raises:
        RequestFailedError: The file cannot be read, or holds no key.
    """
    key = os.environ.get(COMMAND_LINE_KEY)
    if options.key_file is not None:
        try:
            key = options.key_file.read_text(encoding="ascii").strip()
        except OSError as error:
            raise RequestFailedError(
                f"{options.key_file} cannot be read: {error.strerror} (--key-file)"
            ) from error
        except UnicodeDecodeError as error:
            raise RequestFailedError(f"{options.key_file} holds no key (--key-file)") from error
    if key and not (key.isascii() and key.isprintable()):
        raise RequestFailedError("the API key has characters that no key has")
    return key or None


def _print_model(model: Mapping[str, Any]) -> None:
    labels = ", ".join(f"{label} is {number}" for label, number in model["labels"].items())
    print(f"{model['name']}: {labels or 'no version answers'}", end="")
    print(" (pinned)" if model["is_pinned"] else "")
    for version in model["versions"]:
        reason = f"  {version['reason']}" if version["reason"] else ""
        since = version["since"][:19].replace("T", " ") + " UTC"
        print(f"  {version['version']:>6}  {version['state']:<9}  since {since}{reason}")
    for kind in ("canary", "shadow"):
        if model[kind] is not None:
            print(f"  {kind}: {_share_text(model[kind])}")


def _share_text(share: Mapping[str, Any]) -> str:
    if share["state"] == "OFF":
        return "off"
    text = f"{share['target']} at {share['share'] * 100:g} %, {share['state']}"
    if share.get("reason"):
        text += f": {share['reason']}"
    if share.get("agreement") is not None:
        text += f"; agrees on {share['agreement']:.1%} of {share['compared']} images"
    if share.get("requests"):
        text += f"; {share['error_rate']:.1%} of {share['requests']} requests failed"
    return text
