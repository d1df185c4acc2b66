"""What autoscalers ask for is what the server tells."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from app.metrics import IMAGE_OUTCOMES, Metrics
from app.types import ServableId
from tests.deploy.kubernetes.combinations import ROOT, of_kind, one
from tests.deploy.kubernetes.kustomize import Manifest, parse

# Of targets that a ServiceMonitor finds; `pod` is what prometheus-adapter tells pods by.
TARGET_LABELS = {"namespace", "job", "pod"}


def label_names() -> dict[str, set[str]]:
    """Names of the series of a server that has loaded a version, with those of their labels."""
    registry = CollectorRegistry()
    Metrics(registry, (1, 2)).for_servable(ServableId("cifar10", 4), ("cat",))
    return {
        sample.name: set(sample.labels)
        for family in registry.collect()
        for sample in family.samples
    }


def selectors(query: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield metric and labels of each series that a query asks for."""
    for metric, labels in re.findall(r"(keraserve_\w+)\{([^}]*)\}", query):
        yield metric, dict(re.findall(r'(\w+)="([^"]*)"', labels))


def test_queries_of_keda_ask_for_series_that_there_are(manifests: list[Manifest]) -> None:
    known = label_names()
    for scaled in of_kind(manifests, "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            query = trigger["metadata"]["query"]
            asked = list(selectors(query))
            assert [metric for metric, _ in asked] == re.findall(r"keraserve_\w+", query)
            assert asked
            for metric, labels in asked:
                assert labels.keys() <= known[metric] | TARGET_LABELS
                assert labels["namespace"] == scaled["metadata"]["namespace"]
                assert labels["job"] == one(manifests, "Service")["metadata"]["name"]
                assert labels.get("outcome", "ok") in IMAGE_OUTCOMES


def test_one_query_is_about_the_queue(manifests: list[Manifest]) -> None:
    for scaled in of_kind(manifests, "ScaledObject"):
        queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
        assert sum("keraserve_queue_size{" in query for query in queries) == 1


def test_without_data_keda_does_not_take_the_queue_for_empty(manifests: list[Manifest]) -> None:
    for scaled in of_kind(manifests, "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["metadata"]["ignoreNullValues"] == "false"
        assert scaled["spec"]["fallback"]["replicas"] >= scaled["spec"]["minReplicaCount"]


def test_metric_of_pods_is_told_by_the_server_and_by_the_rule_of_the_document(
    manifests: list[Manifest],
) -> None:
    document = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(rules:.*?)```", document, re.DOTALL)
    ((rule,),) = (config["rules"] for config in parse(text))
    ((ruled, labels),) = re.findall(r"(keraserve_\w+)\{([^}]*)\}", rule["seriesQuery"])
    assert set(re.findall(r"(\w+)!=", labels)) <= TARGET_LABELS
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler"):
        asked = {
            metric["pods"]["metric"]["name"]
            for metric in scaler["spec"]["metrics"]
            if metric["type"] == "Pods"
        }
        assert asked <= {ruled}
        assert asked <= label_names().keys()


def test_autoscalers_keep_two_and_take_them_away_one_by_one(manifests: list[Manifest]) -> None:
    scalers = of_kind(manifests, "HorizontalPodAutoscaler") + of_kind(manifests, "ScaledObject")
    for scaler in scalers:
        specification = scaler["spec"]
        assert 2 in (specification.get("minReplicas"), specification.get("minReplicaCount"))
        if scaler["kind"] == "ScaledObject":
            specification = specification["advanced"]["horizontalPodAutoscalerConfig"]
        (policy,) = specification["behavior"]["scaleDown"]["policies"]
        assert (policy["type"], policy["value"]) == ("Pods", 1)
