"""What the manifests say of the server: its settings, routes, ports, times, memory and user."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from app.api import health, metrics
from app.settings import COMMAND_LINE_NAMES, ENV_PREFIX, Settings, SettingsError, load_settings
from tests.deploy.kubernetes.combinations import (
    ROOT,
    bytes_of,
    container_of,
    environment_of,
    of_kind,
    one,
)
from tests.deploy.kubernetes.kustomize import Manifest, pod_of
from tests.deploy.memory import needed_bytes

DOCKERFILES = {"cpu": "docker/Dockerfile", "gpu": "docker/Dockerfile.gpu"}
# After the timeout: batchers, watchers and followers have a second each, threads that hang two.
_STOPPING_TAKES_S = 10
# Of the kubelet and of load balancers, until they have heard that a pod ends.
_HEARSAY_TAKES_S = 5


@pytest.fixture
def settings(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    """What the server makes of its environment in the pod."""
    monkeypatch.chdir(tmp_path)  # no .env of the checkout
    for name in list(os.environ):
        if name.startswith(ENV_PREFIX):
            monkeypatch.delenv(name)
    for name, value in environment_of(manifests).items():
        assert value, f"{name} is empty"
        monkeypatch.setenv(name, value)
    return load_settings()


def test_config_map_has_settings_only_and_the_server_takes_them(
    manifests: list[Manifest], settings: Settings
) -> None:
    names = environment_of(manifests)
    assert {name.removeprefix(ENV_PREFIX).lower() for name in names} <= set(Settings.model_fields)
    assert not set(names) & set(COMMAND_LINE_NAMES)
    assert (settings.host, settings.log_format) == ("0.0.0.0", "json")


def test_variables_of_service_links_would_be_refused_so_there_are_none(
    manifests: list[Manifest], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.port == 8000
    for service in of_kind(manifests, "Service"):
        if service["spec"].get("clusterIP") != "None":
            prefix = service["metadata"]["name"].upper().replace("-", "_")
            monkeypatch.setenv(f"{prefix}_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(SettingsError, match="KERASERVE_SERVICE_HOST"):
        load_settings()

    assert pod_of(one(manifests, "Deployment"))["enableServiceLinks"] is False


def test_ports_of_the_container_are_those_of_the_settings(
    manifests: list[Manifest], settings: Settings
) -> None:
    ports = {port["name"]: port["containerPort"] for port in container_of(manifests)["ports"]}
    assert ports == {"http": settings.port, "admin": settings.admin_port}


def test_probes_ask_for_routes_that_there_are_at_the_port_of_the_service(
    manifests: list[Manifest],
) -> None:
    routes = {route.path for route in health.router.routes if isinstance(route, APIRoute)}
    container = container_of(manifests)
    asked = {
        probe: container[probe]["httpGet"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {request["path"] for request in asked.values()} <= routes
    assert asked["readinessProbe"]["path"] == "/readyz"
    # Not readiness: a version that does not load is no reason to start again.
    assert asked["livenessProbe"]["path"] == asked["startupProbe"]["path"] == "/livez"
    assert {request["port"] for request in asked.values()} == {"http"}


def test_prometheus_asks_for_a_route_that_there_is(manifests: list[Manifest]) -> None:
    routes = {route.path for route in metrics.router.routes if isinstance(route, APIRoute)}
    for monitor in of_kind(manifests, "ServiceMonitor"):
        assert {endpoint["path"] for endpoint in monitor["spec"]["endpoints"]} <= routes


def test_grace_period_is_longer_than_the_server_takes_to_drain(
    manifests: list[Manifest], settings: Settings
) -> None:
    drain_s = settings.shutdown_grace_s + settings.shutdown_timeout_s
    pod = pod_of(one(manifests, "Deployment"))
    assert pod["terminationGracePeriodSeconds"] >= drain_s + _STOPPING_TAKES_S
    assert settings.shutdown_grace_s >= _HEARSAY_TAKES_S
    assert settings.shutdown_timeout_s >= settings.request_timeout_ms / 1000


def test_memory_is_enough_for_as_many_uploads_as_may_be_under_way(
    manifests: list[Manifest], settings: Settings
) -> None:
    limits = container_of(manifests)["resources"]["limits"]
    needed = needed_bytes("gpu" if "nvidia.com/gpu" in limits else "cpu", settings)
    assert bytes_of(limits["memory"]) >= needed


def test_on_cpus_an_execution_takes_the_cores_of_the_limit(
    manifests: list[Manifest], settings: Settings
) -> None:
    resources = container_of(manifests)["resources"]
    assert resources["requests"]["cpu"] == resources["limits"]["cpu"]
    if "nvidia.com/gpu" not in resources["limits"]:
        assert settings.inference_threads == int(resources["limits"]["cpu"])


def test_on_gpus_the_pod_gets_those_that_the_server_asks_for(
    manifests: list[Manifest], settings: Settings
) -> None:
    pod = pod_of(one(manifests, "Deployment"))
    gpus = container_of(manifests)["resources"]["limits"].get("nvidia.com/gpu")
    assert (gpus is None) == (settings.devices == "auto")
    assert (gpus is None) == ("nodeSelector" not in pod) == ("tolerations" not in pod)
    if gpus is not None:
        assert settings.devices.split(",") == [f"gpu:{index}" for index in range(int(gpus))]
        assert {toleration["key"] for toleration in pod["tolerations"]} == {"nvidia.com/gpu"}


def test_pod_meets_the_restricted_standard(manifests: list[Manifest]) -> None:
    pod = pod_of(one(manifests, "Deployment"))
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"] + pod.get("initContainers", []):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not any("hostPath" in volume for volume in pod["volumes"])


def test_what_the_settings_name_is_mounted(manifests: list[Manifest], settings: Settings) -> None:
    mounts = {Path(mount["mountPath"]) for mount in container_of(manifests)["volumeMounts"]}
    assert Path("/tmp") in mounts  # for private copies: the rest of the root is read-only
    if settings.api_keys_file is not None:
        assert settings.api_keys_file.parent in mounts
    assert mounts <= {Path("/tmp"), Path("/keys"), settings.model_dir}


def test_image_has_the_user_and_the_folder_that_the_pod_counts_on(
    manifests: list[Manifest], settings: Settings
) -> None:
    image = container_of(manifests)["image"]
    text = (ROOT / DOCKERFILES[image.partition(":")[2]]).read_text(encoding="utf-8")
    context = pod_of(one(manifests, "Deployment"))["securityContext"]
    user = re.search(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert user is not None
    assert [int(number) for number in user.groups()] == [
        context["runAsUser"],
        context["runAsGroup"],
    ]
    assert context["fsGroup"] == context["runAsGroup"]
    assert f"KERASERVE_MODEL_DIR={settings.model_dir}" in text
    assert f"-t {image} " in text
    is_for_gpus = "nvidia.com/gpu" in container_of(manifests)["resources"]["limits"]
    assert image == f"keraserve:{'gpu' if is_for_gpus else 'cpu'}"
