import pytest
from prometheus_client import CollectorRegistry

from app.metrics import IMAGE_OUTCOMES, Metrics
from app.types import EngineInfo, ServableId, ServableState

CIFAR10 = ServableId("cifar10", 1)
LABELS = {"model": "cifar10", "version": "1"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, (1, 2, 4))


def test_batches_are_counted_by_images_executions_and_padding(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    servable = metrics.for_servable(CIFAR10, ("cat", "dog"))
    servable.batch_executed(size=3, padded=1, duration_s=0.01)
    servable.batch_executed(size=1, padded=0, duration_s=0.01)
    value = registry.get_sample_value
    assert value("keraserve_executions_total", LABELS) == 2
    assert value("keraserve_padded_images_total", LABELS) == 1
    assert value("keraserve_batch_size_sum", LABELS) == 4
    assert value("keraserve_batch_size_bucket", {**LABELS, "le": "1.0"}) == 1
    assert value("keraserve_batch_size_bucket", {**LABELS, "le": "4.0"}) == 2


def test_queue_size_is_that_of_all_versions_together(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.for_servable(CIFAR10, ("cat",)).queue_size_changed(5)
    metrics.for_servable(ServableId("other", 1), ("cat",)).queue_size_changed(2)
    assert registry.get_sample_value("keraserve_queue_size") == 7


def test_a_version_is_in_one_state(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.set_state(CIFAR10, ServableState.LOADING)
    metrics.set_state(CIFAR10, ServableState.AVAILABLE)
    values = {
        state: registry.get_sample_value("keraserve_model_state", {**LABELS, "state": state})
        for state in ServableState
    }
    assert values.pop(ServableState.AVAILABLE) == 1
    assert set(values.values()) == {0}


def test_info_goes_with_its_version(metrics: Metrics, registry: CollectorRegistry) -> None:
    info = EngineInfo("tensorflow", "float32", "cpu")
    labels = {**LABELS, "engine": "tensorflow", "precision": "float32", "device": "cpu"}
    metrics.set_info(CIFAR10, info, "ab")
    assert registry.get_sample_value("keraserve_model_info", {**labels, "sha256": "ab"}) == 1
    metrics.clear_info(CIFAR10, info, "ab")
    assert registry.get_sample_value("keraserve_model_info", {**labels, "sha256": "ab"}) is None


def test_every_outcome_is_there_from_the_start(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    servable = metrics.for_servable(CIFAR10, ("cat", "dog"))
    servable.image_ended("ok")
    servable.image_predicted(1, 0.97)
    value = registry.get_sample_value
    counts = {
        name: value("keraserve_images_total", {**LABELS, "outcome": name})
        for name in IMAGE_OUTCOMES
    }
    assert counts.pop("ok") == 1
    assert set(counts.values()) == {0}
    assert value("keraserve_predictions_total", {**LABELS, "label": "dog"}) == 1
    assert value("keraserve_prediction_confidence_sum", LABELS) == pytest.approx(0.97)


def test_state_of_a_version_that_is_forgotten_is_not_shown_any_more() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, (1, 2))
    metrics.set_state(ServableId("cifar10", 7), ServableState.FAILED)
    metrics.set_state(ServableId("cifar10", 8), ServableState.AVAILABLE)

    metrics.set_state(ServableId("cifar10", 7), None)

    def shown(version: str) -> float | None:
        labels = {"model": "cifar10", "version": version, "state": "FAILED"}
        return registry.get_sample_value("keraserve_model_state", labels)

    assert (shown("7"), shown("8")) == (None, 0)
