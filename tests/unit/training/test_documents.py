"""docs/training.md is held against the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from training.config import InputConfig, RunConfig

GUIDE = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        section = InputConfig if name == "input" else field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from settings(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


SETTINGS = dict(settings(RunConfig))


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    default = field.get_default(call_default_factory=True)
    if default is None or isinstance(default, dict):
        return "none"
    return str(default).lower() if isinstance(default, bool) else f"{default}"


@pytest.mark.parametrize("key", SETTINGS)
def test_setting_is_in_the_guide_with_its_default_and_effect(key: str) -> None:
    field = SETTINGS[key]
    assert f"| `{key}` | {default_of(field)} | {field.description} |" in GUIDE


def test_guide_names_no_other_setting() -> None:
    assert set(
        re.findall(r"^\| `([a-z0-9_.]+)` \| [^|]+ \| [^|]+ \|$", GUIDE, re.MULTILINE)
    ) == set(SETTINGS)
