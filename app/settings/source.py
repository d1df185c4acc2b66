"""Reads the settings: environment, ``.env`` and flags, and what is wrong in them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from app.settings.names import COMMAND_LINE_NAMES, ENV_FILE, ENV_PREFIX, GUARDS, SettingsError
from app.settings.settings import Settings


def load_settings(**flags: Any) -> Settings:
    """Read the settings of this process.

    Args:
        **flags: Values that override environment and ``.env``; None leaves a setting alone.

    Raises:
        SettingsError: A name with the prefix is unknown, or a value is unusable.
    """
    sources = {"environment": os.environ, ENV_FILE: _env_file()}
    problems = [line for source, names in sources.items() for line in _unknown(names, source)]
    for guard in GUARDS:
        if flags.get(guard) is None:
            problems += _emptied(guard, sources)
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        problems += [_describe(entry) for entry in error.errors(include_url=False)]
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _env_file() -> Mapping[str, str | None]:
    return dotenv_values(ENV_FILE) if Path(ENV_FILE).is_file() else {}


def _emptied(guard: str, sources: Mapping[str, Mapping[str, str | None]]) -> list[str]:
    """Complain where what protects the server is named as nothing, and nowhere else as something.

    An empty value counts as none for every setting; for these alone, that takes away what somebody
    meant to protect the server with.
    """
    found = {
        f"{name} ({source})": value
        for source, names in sources.items()
        for name, value in names.items()
        if name.upper() == f"{ENV_PREFIX}{guard.upper()}"
    }
    return [] if any(found.values()) else [f"{name} is '': {GUARDS[guard]}" for name in found]


def _unknown(names: Mapping[str, Any], source: str) -> list[str]:
    valid = {f"{ENV_PREFIX}{field.upper()}" for field in Settings.model_fields}
    valid.update(COMMAND_LINE_NAMES)
    problems = []
    for name in names:
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in valid:
            close = difflib.get_close_matches(name.upper(), valid, n=1, cutoff=0.0)
            problems.append(f"{name} ({source}) is no setting; the nearest is {close[0]}")
    return problems


def _describe(entry: Mapping[str, Any]) -> str:
    message = str(entry["msg"]).removeprefix("Value error, ")
    if not entry["loc"]:
        return message
    name = f"{ENV_PREFIX}{str(entry['loc'][0]).upper()}"
    return f"{name} is {entry['input']!r}: {message}"
