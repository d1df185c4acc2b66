"""Every threat of SECURITY.md has tests, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from app.settings import COMMAND_LINE_NAMES, ENV_PREFIX, Settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and "| threat |" not in line]
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", TEXT)))


def names_in(path: Path) -> set[str]:
    """Return the names of the tests of a module, those in classes behind their class."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{name}" for name in functions_of(node.body)}
    return found | functions_of(ast.parse(path.read_text(encoding="utf-8")).body)


def functions_of(body: list[ast.stmt]) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in body if isinstance(node, kinds) and node.name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_threat_has_a_defence_and_a_test(row: str) -> None:
    threat, defence, tests = (cell.strip() for cell in row.strip("|").split("|"))
    assert threat
    assert defence
    assert re.fullmatch(r"`tests/\S+\.py::\S+`(, `tests/\S+\.py::\S+`)*", tests)


@pytest.mark.parametrize("named", NAMED)
def test_test_that_is_named_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    assert name in names_in(ROOT / path)


def test_there_are_threats_of_both_kinds() -> None:
    assert len(ROWS) > 20
    assert "Whoever reaches the port" in TEXT
    assert "can write into the store" in TEXT


def test_only_settings_that_there_are_are_named_and_links_lead_somewhere() -> None:
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(rf"{ENV_PREFIX}[A-Z_]+", TEXT)) <= known.union(COMMAND_LINE_NAMES)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    for anchor in re.findall(r"\(README\.md#([a-z-]+)\)", TEXT):
        assert f"### {anchor.replace('-', ' ')}" in readme
