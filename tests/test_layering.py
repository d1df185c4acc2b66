"""The rules of architecture that can be read from the source text alone.

Nothing is imported, so these tests need neither TensorFlow nor FastAPI.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Highest first. A module imports its own unit or strictly lower ones; units on one level do not
# see each other, they meet through the Protocols in app.types.
LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"app.__main__"}),
    frozenset({"app.cli"}),
    frozenset({"app.commands"}),
    frozenset({"app.server"}),
    frozenset({"app.main"}),
    frozenset({"app.api"}),
    frozenset({"app.lifecycle", "app.version_check", "app.tuning", "app.bulk"}),
    frozenset({"app.administration", "app.client"}),
    frozenset({"app.schemas"}),
    frozenset({"app.loading", "app.keeping", "app.rollout", "app.samples", "app.supervision"}),
    frozenset({"app.settings"}),
    frozenset({"app.inference"}),
    frozenset({"app.batching", "app.runtime", "app.registry", "app.imaging", "app.drift"}),
    frozenset(
        {"app.artifacts", "app.access", "app.certificate", "app.metrics", "app.logging", "app.load"}
        | {"app.tracing", "app.devices"}
    ),
    frozenset(
        {"app.json_file", "app.watching", "app.charts", "app.text_table", "app.progress_bar"}
        | {"app.patience", "app.restarts", "app.tallies", "app.turns"}
    ),
    frozenset({"app.types", "app.errors", "app.readyz"}),
    frozenset({"app"}),  # app/__init__.py: the version number
)
DEPTH = {unit: depth for depth, units in enumerate(LEVELS) for unit in units}

SETTINGS_READERS = {"app.cli", "app.commands", "app.server", "app.main", "app.lifecycle"}
KERAS = {"jax", "keras", "tensorflow"}
KERAS_USERS = {"app.runtime", "training"}
TRAINING_SEES = {"app.artifacts", "app.imaging", "app.types", "app.errors"}

MOST_MODULE_LINES = 400
MOST_FUNCTION_LINES = 60
# Reads as one recipe from top to bottom, under section rulers.
LONG_FUNCTIONS_IN = {"training.fitting.train"}
EMPTY_NAMES = {"utils", "helpers", "common"}


def sources(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield module name and text of every Python file below the folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield module.removesuffix(".__init__"), path.read_text(encoding="utf-8")


def unit_of(module: str) -> str:
    """Return the unit a dotted name belongs to: app.api.routes -> app.api."""
    unit = ".".join(module.split(".")[:2])
    if unit in DEPTH:
        return unit
    # Of the names that app/__init__.py defines, only the dunders are not taken for modules.
    is_module_of_app = unit.startswith("app.") and not unit.startswith("app.__")
    return unit if is_module_of_app else unit.split(".")[0]


def imports_of(text: str) -> list[str]:
    """Return the full dotted name of everything imported, at any depth of the code."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [f"{module}.{alias.name}" for alias in node.names]
    return found


def objection(module: str, target: str) -> str | None:
    """Return what is wrong with ``module`` importing ``target``; None if nothing is."""
    unit, head = unit_of(module), target.split(".")[0]
    if target.startswith("."):
        return "imports are absolute"
    if head in KERAS and unit not in KERAS_USERS:
        return "only app.runtime and training touch Keras"
    if head in {"training", "tests", "benchmarks", "scripts"} and unit != head:
        return f"{head} is not part of what is served"
    if head == "app" and unit_of(target) != unit:
        return objection_within_app(unit, unit_of(target))
    return None


def objection_within_app(unit: str, target: str) -> str | None:
    """Return what is wrong with one unit importing another."""
    if unit == "training":
        return None if target in TRAINING_SEES else f"of app, training sees {TRAINING_SEES}"
    if target == "app.settings" and unit not in SETTINGS_READERS:
        return "settings are read at the top; below, a policy object is received"
    if DEPTH.get(unit, -1) >= DEPTH.get(target, -1):
        return "not strictly downward"
    return None


def violations(module: str, text: str) -> list[str]:
    """Return one line for every import that breaks a rule."""
    found = []
    if unit_of(module) not in {"training", *DEPTH}:
        found.append(f"{module} has no place in LEVELS")
    for target in imports_of(text):
        reason = objection(module, target)
        if reason is not None:
            found.append(f"{module} imports {target}: {reason}")
    return found


def test_imports_of_app_and_training_follow_the_layers() -> None:
    found = [
        line for module, text in sources("app", "training") for line in violations(module, text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        pytest.param("app.types", "from app.errors import X", id="same level"),
        pytest.param("app.batching.task", "import app.registry.store", id="sideways"),
        pytest.param("app.inference.service", "from app import api", id="upward"),
        pytest.param("app.metrics", "def f():\n    from app.main import X", id="inside a function"),
        pytest.param("app.batching.batcher", "from app.settings import Settings", id="settings"),
        pytest.param("app.api.samples", "from app.settings import Settings", id="settings in api"),
        pytest.param("app.inference.service", "import keras", id="Keras above the runtime"),
        pytest.param("app.imaging", "from tensorflow.io import decode_png", id="TensorFlow"),
        pytest.param(
            "app.cli", "from training.data.loading import load", id="training in the service"
        ),
        pytest.param("app.cli", "from tests.fakes import FakeClock", id="tests in the service"),
        pytest.param("training.run", "from app.batching.policy import X", id="training of app"),
        pytest.param("app.api", "from . import routes", id="relative"),
        pytest.param("app.surprise", "", id="unit without a level"),
    ],
)
def test_a_forbidden_import_is_found(module: str, text: str) -> None:
    assert len(violations(module, text)) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        pytest.param("app.runtime.engine", "import keras", id="Keras in the runtime"),
        pytest.param("app.batching.batcher", "from app.batching.task import X", id="own package"),
        pytest.param("app.api.routes", "from app.errors import X", id="far down"),
        pytest.param("app.types", "from app import __version__", id="the version number"),
        pytest.param(
            "training.publishing.export", "from app.artifacts.manifest import X", id="the contract"
        ),
    ],
)
def test_an_allowed_import_is_let_through(module: str, text: str) -> None:
    assert violations(module, text) == []


def test_unit_tests_run_without_tensorflow() -> None:
    found = [
        f"{module} imports {target}"
        for module, text in sources("tests/unit", "tests/factories", "tests/api")
        for target in imports_of(text)
        if target.split(".")[0] in KERAS
    ]
    assert found == []


def test_no_module_is_longer_than_one_owner_can_keep_in_mind() -> None:
    long = {
        module: lines
        for module, text in sources("app", "training", "tests", "benchmarks", "scripts")
        if (lines := len(text.splitlines())) > MOST_MODULE_LINES
    }
    assert long == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{module}.{node.name}": lines
        for module, text in sources("app", "training", "benchmarks", "scripts")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and module not in LONG_FUNCTIONS_IN
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MOST_FUNCTION_LINES
    }
    assert long == {}


def test_every_module_name_says_what_it_owns() -> None:
    vague = [
        module
        for module, _ in sources("app", "training", "tests", "benchmarks", "scripts")
        if module.split(".")[-1] in EMPTY_NAMES
    ]
    assert vague == []
