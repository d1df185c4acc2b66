"""Which Python the environment is made with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.interpreters import BootstrapError, Interpreter, choose_interpreter, probe, select


def python(minor: int, *, has_venv: bool = True) -> Interpreter:
    return Interpreter(f"/usr/bin/python3.{minor}", (3, minor), has_venv, "/usr")


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        pytest.param([python(11)], 11, id="the only one"),
        pytest.param([python(12), python(13)], 12, id="the default before a newer one"),
        pytest.param([python(9), python(11)], 11, id="the default is too old"),
        pytest.param([python(14), python(13)], 13, id="the default is too new"),
        pytest.param(
            [python(13, has_venv=False), python(12)], 12, id="one that can make environments"
        ),
        pytest.param(
            [python(9), python(13, has_venv=False)], 13, id="one that has to be completed first"
        ),
    ],
)
def test_supported_python_is_chosen(found: list[Interpreter], chosen: int) -> None:
    assert select(found).version == (3, chosen)


@pytest.mark.parametrize("minor", [10, 14])
def test_only_unsupported_pythons_are_named_with_the_range_that_works(minor: int) -> None:
    with pytest.raises(BootstrapError) as caught:
        select([python(minor)])
    assert "3.11 to 3.13" in str(caught.value)
    assert f"/usr/bin/python3.{minor} (3.{minor})" in str(caught.value)


def test_python_that_the_user_names_has_to_run(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match="does not run"):
        choose_interpreter(str(tmp_path / "python"))


def test_interpreter_of_an_environment_stands_for_the_one_it_was_made_with() -> None:
    found = probe(sys.executable)
    assert found is not None
    assert found.version == sys.version_info[:2]
    assert Path(found.path).exists()
    assert not found.path.startswith(sys.prefix) or sys.prefix == sys.base_prefix


def test_command_that_is_no_python_is_none(tmp_path: Path) -> None:
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    assert probe(str(shim)) is None
