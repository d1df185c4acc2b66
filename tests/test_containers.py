"""What the Dockerfiles and docker-compose.yml promise, as far as it stands in their text.

No engine is needed; `make docker-test` builds and runs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile*"))
SERVERS = {"keraserve": "cpu", "keraserve-gpu": "gpu", "keraserve-secure": "cpu"}
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


def compose() -> dict[str, Any]:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


SERVICES: dict[str, dict[str, Any]] = compose()["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


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


@each_service
def test_images_are_pinned(name: str) -> None:
    service = SERVICES[name]
    tag = service["image"].partition(":")[2]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert service["image"].startswith("keraserve:")
    else:
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)


@each_service
def test_services_give_up_what_they_do_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) == ("build" in service)


@each_service
def test_only_the_service_with_keys_and_tls_is_reached_from_elsewhere(name: str) -> None:
    public = [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")]
    assert public == (["8443:8000"] if name == "keraserve-secure" else [])


def test_profiles_are_those_that_the_readme_names() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert profiles == {
        "keraserve": [],
        "prometheus": [],
        "grafana": [],
        "keraserve-gpu": ["gpu"],
        "keraserve-secure": ["secure"],
        "keys": ["secure"],
        "prometheus-secure": ["secure"],
        "train": ["train"],
    }
    for profile in ("gpu", "secure", "train"):
        assert f"docker compose --profile {profile} " in README


@pytest.mark.parametrize("name", SERVERS)
def test_servers_drain_in_the_time_that_they_are_given(name: str) -> None:
    timeout_s = Settings.model_fields["shutdown_timeout_s"].default
    grace_s = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s > timeout_s + Settings.model_fields["shutdown_grace_s"].default


@each_service
def test_settings_of_services_exist(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    named = {name.removeprefix(ENV_PREFIX) for name in environment if name.startswith(ENV_PREFIX)}
    assert named <= {name.upper() for name in Settings.model_fields}


def test_gpu_is_reserved_for_its_service_alone() -> None:
    assert [name for name, service in SERVICES.items() if "deploy" in service] == ["keraserve-gpu"]
    (device,) = SERVICES["keraserve-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_secure_service_has_keys_by_their_folder_and_a_certificate() -> None:
    service = SERVICES["keraserve-secure"]
    environment, targets = service["environment"], mounts("keraserve-secure")
    for setting in ("API_KEYS_FILE", "TLS_CERTIFICATE_FILE", "TLS_KEY_FILE"):
        path = Path(environment[f"{ENV_PREFIX}{setting}"])
        assert targets[str(path.parent)].endswith(":ro")


def mounts(name: str) -> dict[str, str]:
    """Return what is mounted, by where."""
    return {volume.split(":")[1]: volume for volume in SERVICES[name].get("volumes", [])}


def mounted_files() -> Iterator[str]:
    for name in SERVICES:
        for volume in mounts(name).values():
            source = volume.partition(":")[0]
            if source.startswith("./deploy/"):
                yield source


@pytest.mark.parametrize("source", sorted(set(mounted_files())))
def test_configuration_that_is_mounted_exists(source: str) -> None:
    assert (ROOT / source).exists()


def test_named_volumes_are_declared() -> None:
    named = {
        volume.partition(":")[0]
        for name in SERVICES
        for volume in mounts(name).values()
        if not volume.startswith("./")
    }
    assert named == set(compose()["volumes"])


def test_grafana_asks_nobody_to_log_in_and_lets_nobody_change_anything() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    path = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(path.parent) in mounts("grafana")


def test_secure_prometheus_asks_the_second_port_with_a_key_by_tls() -> None:
    text = (ROOT / "deploy" / "prometheus" / "prometheus.secure.yml").read_text(encoding="utf-8")
    (job,) = yaml.safe_load(text)["scrape_configs"]
    port = SERVICES["keraserve-secure"]["environment"][f"{ENV_PREFIX}ADMIN_PORT"]
    assert job["job_name"] == "keraserve"
    assert job["scheme"] == "https"
    assert job["static_configs"] == [{"targets": [f"keraserve:{port}"]}]
    for path in (job["authorization"]["credentials_file"], job["tls_config"]["ca_file"]):
        assert str(Path(path).parent) in mounts("prometheus-secure")


def compose_command() -> list[str] | None:
    if shutil.which("docker") is not None:
        plugin = ["docker", "compose"]
        if subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0:
            return plugin
    return ["docker-compose"] if shutil.which("docker-compose") is not None else None


def test_compose_itself_takes_the_file() -> None:
    command = compose_command()
    if command is None:
        pytest.skip("neither docker compose nor docker-compose is installed")
    for profile in ("gpu", "secure", "train"):
        done = subprocess.run(
            [*command, "--profile", profile, "config", "--services"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        chosen = {name for name in SERVICES if profile in SERVICES[name].get("profiles", [])}
        assert set(done.stdout.split()) >= chosen | {"keraserve", "prometheus", "grafana"}


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
