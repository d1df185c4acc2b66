"""What the Dockerfiles promise, as far as it stands in their text.

No engine is needed; `make docker-test` builds and runs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile*"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

each_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile, each with its arguments as one line."""
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    pairs = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in pairs]


def last_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    begin = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return found[begin:]


def values(found: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for word, rest in found if word == instruction]


def test_there_is_a_dockerfile_for_each_use() -> None:
    assert [path.name for path in DOCKERFILES] == [
        "Dockerfile",
        "Dockerfile.gpu",
        "Dockerfile.train",
    ]


@each_dockerfile
def test_both_stages_begin_with_the_pinned_base(path: Path) -> None:
    found = instructions(path)
    assert found[0] == ("ARG", "PYTHON_IMAGE=python:3.11-slim-bookworm")
    assert values(found, "FROM") == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]


@each_dockerfile
def test_packages_come_from_hashed_locks_that_exist(path: Path) -> None:
    found = instructions(path)
    installs = [
        command
        for run in values(found, "RUN")
        for command in re.split(r"&&|\|\||;", run)
        if "pip install" in command
    ]
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "--only-binary :all:" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]
    locks = re.findall(r"requirements/([a-z-]+)\.txt", " ".join(values(found, "COPY")))
    locks += re.findall(r"LOCK=(\S+)", " ".join(values(found, "ARG")))
    assert locks
    for lock in locks:
        assert "--hash=sha256:" in (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")


@each_dockerfile
def test_last_stage_installs_nothing_and_runs_as_a_user_by_number(path: Path) -> None:
    found = last_stage(path)
    assert not re.search(r"\bpip\b|apt-get|curl|wget", " ".join(values(found, "RUN")))
    assert values(found, "USER") == ["10001:10001"]
    words = [word for word, _ in found]
    assert "RUN" not in words[words.index("USER") :]


@each_dockerfile
def test_process_1_is_the_program_itself_and_gets_the_signal_it_knows(path: Path) -> None:
    found = last_stage(path)
    is_training = path.suffix == ".train"
    (entry,), (command,) = values(found, "ENTRYPOINT"), values(found, "CMD")
    assert json.loads(entry) == ["keraserve-train" if is_training else "keraserve"]
    assert json.loads(command) == (["--help"] if is_training else ["serve"])
    assert values(found, "STOPSIGNAL") == ["SIGINT" if is_training else "SIGTERM"]


@pytest.mark.parametrize("path", DOCKERFILES[:2], ids=lambda path: path.name)
def test_health_is_readiness_asked_without_a_shell(path: Path) -> None:
    (check,) = values(last_stage(path), "HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command == ["python", "-I", "-m", "app.readyz"]
    assert (ROOT / "app" / "readyz.py").is_file()


@each_dockerfile
def test_image_says_what_it_is(path: Path) -> None:
    labels = " ".join(values(last_stage(path), "LABEL"))
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels


@each_dockerfile
def test_settings_in_the_image_exist(path: Path) -> None:
    named = set(re.findall(rf"{ENV_PREFIX}(\w+)=", path.read_text(encoding="utf-8")))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_builder_gets_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {
        source.partition("/")[0]
        for path in DOCKERFILES
        for rest in values(instructions(path), "COPY")
        if "--from=" not in rest
        for source in re.sub(r"--\S+ ", "", rest).split()[:-1]
    }
    assert allowed == copied


@pytest.mark.parametrize(
    "command",
    [
        "docker compose up",
        "docker build -f docker/Dockerfile ",
        "docker build -f docker/Dockerfile.gpu ",
        "docker build -f docker/Dockerfile.train ",
        "make docker-test",
    ],
)
def test_readme_names_the_command(command: str) -> None:
    assert command in README


def test_operations_tell_how_to_deploy_by_container() -> None:
    assert "### By container" in OPERATIONS
    assert "docker stop" in OPERATIONS
