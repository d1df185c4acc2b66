"""What ``make`` installs, when it starts afresh, and that half done never counts as done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.environment import Environment
from scripts.interpreters import BootstrapError, Interpreter

LAYERS = ("cpu", "gpu", "train", "dev")
VENV_COMMAND = """\
#!/bin/sh
# stands for: python -m venv --clear PATH
rm -rf "$4"
mkdir -p "$4/bin"
ln -s '{python}' "$4/bin/python"
"""


class Pip:
    """Writes down what it is asked to install and ends as told."""

    def __init__(self) -> None:
        self.installed: list[str] = []
        self.exit_code = 0
        self.interrupt = False

    def __call__(self, command: list[str], keep: Callable[[str], object]) -> int:
        if self.interrupt:
            raise KeyboardInterrupt
        keep("pip's own words\n")
        self.installed.append(Path(command[-1]).stem)
        return self.exit_code


class World:
    """A project with lock files, and a machine with one Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.path = self.root / ".venv"
        self.pip = Pip()
        self.made = 0
        self.command = folder / "python"
        self.command.write_text(VENV_COMMAND.format(python=sys.executable), encoding="utf-8")
        self.command.chmod(0o755)
        (self.root / "requirements").mkdir(parents=True)
        for layer in LAYERS:
            self.write_lock(layer, "one==1\n")
        (self.root / "pyproject.toml").write_text("[project]\n", encoding="utf-8")

    def write_lock(self, layer: str, text: str) -> None:
        (self.root / "requirements" / f"{layer}.txt").write_text(text, encoding="utf-8")

    def choose(self) -> Interpreter:
        self.made += 1
        return Interpreter(str(self.command), sys.version_info[:2], True, "/usr")

    def bring_to(self, *layers: str) -> list[str]:
        """Return what pip installed in this run alone."""
        self.pip.installed.clear()
        Environment(self.path, self.root, self.choose, self.pip).bring_to(layers)
        return list(self.pip.installed)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_first_run_installs_the_layers_and_the_project(world: World) -> None:
    assert world.bring_to("cpu", "dev") == ["cpu", "dev", "project"]


def test_second_run_does_nothing(world: World) -> None:
    world.bring_to("cpu")
    assert world.bring_to("cpu") == []
    assert world.made == 1


def test_another_layer_is_added_to_what_is_there(world: World) -> None:
    world.bring_to("cpu")
    assert world.bring_to("cpu", "train") == ["train"]
    assert world.bring_to("cpu") == []
    assert world.made == 1


def test_changed_lock_starts_afresh(world: World) -> None:
    world.bring_to("cpu", "dev")
    world.write_lock("cpu", "one==2\n")
    assert world.bring_to("cpu", "dev") == ["cpu", "dev", "project"]
    assert world.made == 2


def test_touched_lock_with_the_same_content_changes_nothing(world: World) -> None:
    world.bring_to("cpu")
    os.utime(world.root / "requirements" / "cpu.txt", (0, 0))
    assert world.bring_to("cpu") == []


def test_changed_project_file_installs_only_the_project(world: World) -> None:
    world.bring_to("cpu")
    (world.root / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert world.bring_to("cpu") == ["project"]
    assert world.made == 1


def test_other_accelerator_starts_afresh(world: World) -> None:
    world.bring_to("cpu")
    assert world.bring_to("gpu") == ["gpu", "project"]
    assert world.made == 2


def test_layer_without_accelerator_keeps_the_one_that_is_there(world: World) -> None:
    world.bring_to("gpu")
    assert world.bring_to("dev") == ["dev"]
    assert world.made == 1


def test_interrupted_installation_is_not_built_upon(world: World) -> None:
    world.bring_to("cpu")
    world.pip.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        world.bring_to("cpu", "dev")
    world.pip.interrupt = False
    assert world.bring_to("cpu") == ["cpu", "project"]
    assert world.made == 2


def test_failed_installation_says_why_and_is_not_built_upon(world: World) -> None:
    world.pip.exit_code = 1
    with pytest.raises(BootstrapError, match="pip's own words"):
        world.bring_to("cpu")
    world.pip.exit_code = 0
    assert world.bring_to("cpu") == ["cpu", "project"]


def test_moved_project_starts_afresh(world: World) -> None:
    world.bring_to("cpu")
    world.root = world.root.rename(world.root.with_name("moved"))
    world.path = world.root / ".venv"
    assert world.bring_to("cpu") == ["cpu", "moved"]


def test_environment_whose_python_is_gone_is_made_afresh(world: World) -> None:
    world.bring_to("cpu")
    (world.path / "bin" / "python").unlink()
    assert world.bring_to("cpu") == ["cpu", "project"]


def test_environment_made_by_other_means_is_made_afresh(world: World) -> None:
    world.path.mkdir()
    assert world.bring_to("cpu") == ["cpu", "project"]


def test_missing_lock_is_named(world: World) -> None:
    with pytest.raises(BootstrapError, match=r"nothing\.txt cannot be read"):
        world.bring_to("nothing")
