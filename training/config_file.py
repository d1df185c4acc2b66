"""Reads a run's configuration: a TOML file, and ``key=value`` words that override it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.config import RunConfig

BUILT_IN = Path(__file__).with_name("configs")


class ConfigError(Exception):
    """A configuration cannot be used; the message is one line and names the key."""


def built_in_names() -> list[str]:
    """Return the names that ``load_config`` takes instead of a path."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def load_config(source: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's configuration.

    Args:
        source: Path of a TOML file, or the name of a built-in one (``cifar10``).
        overrides: ``key=value`` each, as of ``--set``: a dotted key, and a TOML value; what is no
            TOML value is taken as a string. The last one of a key counts.

    Raises:
        ConfigError: Neither exists, the file is no TOML, a key is unknown, missing or out of
            range, or an override is no ``key=value``.
    """
    path = Path(source)
    if not path.is_file():
        path = BUILT_IN / f"{source}.toml"
    if not path.is_file():
        raise ConfigError(
            f"no configuration {source!r}: give a TOML file or one of the built-in names: "
            + ", ".join(built_in_names())
        )
    document = _read(path)
    for word in overrides:
        _override(document, word)
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ConfigError(f"{path.name}: {where}: {first['msg']}{_value(first)}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is no TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from error


def _override(document: dict[str, Any], word: str) -> None:
    key, sign, text = word.partition("=")
    parts = key.strip().split(".")
    if not sign or not all(parts):
        raise ConfigError(f"--set {word}: must be key=value, for example fit.epochs=5")
    section = document
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set {word}: {part} is a value, not a section")
    section[parts[-1]] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # name=cats is meant as name="cats"


def _value(error: Any) -> str:
    """Name the value that was refused, where it is one value and not a whole section."""
    value = error["input"]
    return f" (got {value!r})" if isinstance(value, str | int | float) else ""
