"""What docker-compose.yml promises, as far as it stands in its text and its tools read it.

No engine is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from dotenv import dotenv_values

from app.settings import ENV_PREFIX, Settings, load_settings
from tests.deploy.memory import needed_bytes

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVERS = ("keraserve", "keraserve-gpu", "keraserve-secure")


def compose() -> dict[str, Any]:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


SERVICES: dict[str, dict[str, Any]] = compose()["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


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


def started(profiles: Sequence[str]) -> set[str]:
    """Return the services that `up` starts, by the rule of Compose."""
    return {
        name
        for name, service in SERVICES.items()
        if "profiles" not in service or set(profiles) & set(service["profiles"])
    }


def default_profiles() -> list[str]:
    """Return the profiles of `docker compose up` alone: those of .env, which --profile replaces."""
    named = dotenv_values(ROOT / ".env")["COMPOSE_PROFILES"]
    assert named
    return named.split(",")


# What a user gives, and what is to be started.
UPS = {
    (): {"keraserve", "prometheus", "grafana"},
    ("gpu",): {"keraserve-gpu", "prometheus", "grafana"},
    ("secure",): {"keraserve-secure", "prometheus-secure", "grafana"},
    ("train",): {"train"},
}
each_up = pytest.mark.parametrize("given", UPS, ids=lambda given: given[0] if given else "none")


@each_up
def test_a_profile_starts_one_server_with_what_watches_it(given: tuple[str, ...]) -> None:
    assert started(given or default_profiles()) == UPS[given]


@each_up
def test_what_starts_together_shares_no_port_and_no_name(given: tuple[str, ...]) -> None:
    services = started(given or default_profiles())
    ports = [port.rpartition(":")[0] for name in services for port in published(name)]
    assert len(set(ports)) == len(ports)
    names = [name for service in services for name in (service, *aliases(service))]
    assert len(set(names)) == len(names)


def published(name: str) -> list[str]:
    ports: list[str] = SERVICES[name].get("ports", [])
    return ports


def aliases(name: str) -> list[str]:
    found: list[str] = SERVICES[name].get("networks", {}).get("default", {}).get("aliases", [])
    return found


@pytest.mark.parametrize("given", [up for up in UPS if up != ("train",)])
def test_dashboard_and_prometheus_find_whatever_server_was_started(given: tuple[str, ...]) -> None:
    services = started(given or default_profiles())
    assert {"keraserve", "prometheus", "grafana"} <= {
        name for service in services for name in (service, *aliases(service))
    }


def test_without_its_default_profile_compose_says_what_is_missing() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    line = f"COMPOSE_PROFILES={','.join(default_profiles())}"
    assert line in example.splitlines()  # who copies it to .env keeps it
    assert line in compose()["x-default-profile"]
    assert compose()["x-default-profile"].startswith("${COMPOSE_PROFILES:?")


def test_readme_names_the_profiles() -> None:
    assert "docker compose up " in README
    for profile in ("gpu up`", "secure up`", "train run "):
        assert f"docker compose --profile {profile}" in README


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


@pytest.mark.parametrize("name", SERVERS)
def test_memory_is_enough_for_as_many_uploads_as_may_be_under_way(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = SERVICES[name]
    monkeypatch.chdir(tmp_path)  # no .env of the checkout
    for variable in [variable for variable in os.environ if variable.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(variable)
    for variable, value in service.get("environment", {}).items():
        monkeypatch.setenv(variable, value)
    (in_memory,) = (entry.partition("size=")[2] for entry in service["tmpfs"])
    device: Literal["cpu", "gpu"] = "gpu" if name == "keraserve-gpu" else "cpu"
    needed = needed_bytes(device, load_settings(), size_bytes(in_memory))
    assert size_bytes(service["mem_limit"]) >= needed


def size_bytes(amount: str) -> int:
    """Return bytes of what Compose writes as 256m or 8g."""
    return int(amount[:-1]) << {"m": 20, "g": 30}[amount[-1]]


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


def ask_compose(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = compose_command()
    if command is None:
        pytest.skip("neither docker compose nor docker-compose is installed (#8)")
    environment = {key: value for key, value in os.environ.items() if "COMPOSE_" not in key}
    return subprocess.run(
        [*command, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def is_first_compose() -> bool:
    """Whether it is Compose 1, whose ``config`` shows every service, whatever the profile."""
    return ask_compose("version", "--short").stdout.lstrip("v").startswith("1.")


@each_up
def test_compose_itself_takes_the_file_and_starts_the_same(given: tuple[str, ...]) -> None:
    flags = [word for profile in given for word in ("--profile", profile)]
    done = ask_compose(*flags, "config", "--services")
    assert done.returncode == 0, done.stderr
    expected = set(SERVICES) if is_first_compose() else UPS[given]
    assert set(done.stdout.split()) == expected


def test_compose_2_refuses_to_start_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    done = ask_compose("config", "--services", folder=tmp_path)
    if is_first_compose():  # it does not look into lines that are no services
        assert done.returncode == 0
    else:
        assert done.returncode != 0
        assert "put the line COMPOSE_PROFILES=cpu back into .env" in done.stderr
