from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from training.provenance import clean_commit, repeatable_command

pytestmark = pytest.mark.keras


@pytest.mark.parametrize(
    ("source", "with_data", "command"),
    [
        ("cifar10", False, "keraserve-train run cifar10"),
        ("cifar10", True, "keraserve-train run cifar10 --data PATH"),
        ("/home/me/flowers.toml", True, "keraserve-train run flowers.toml --data PATH"),
        ("my flowers.toml", False, "keraserve-train run 'my flowers.toml'"),
    ],
)
def test_command_names_no_path_of_this_machine(source: str, with_data: bool, command: str) -> None:
    assert repeatable_command(source, with_data=with_data) == command


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "training"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "start")
    return package


def test_commit_of_a_clean_checkout_is_recorded(package: Path) -> None:
    (package / "notes.txt").write_text("untracked files change nothing")

    commit = clean_commit(package)

    assert commit is not None
    assert len(commit) == 40


def test_changed_checkout_has_no_commit(package: Path) -> None:
    (package / "__init__.py").write_text("changed = True")

    assert clean_commit(package) is None


def test_package_inside_somebody_else_s_repository_has_no_commit(package: Path) -> None:
    installed = package.parent / "venv" / "training"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")

    assert clean_commit(installed) is None


def test_package_under_no_version_control_has_no_commit(tmp_path: Path) -> None:
    assert clean_commit(tmp_path) is None
