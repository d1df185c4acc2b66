from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from tests.keras.training.conftest import StopAtEpoch, Stopped, changed
from training.config import RunConfig
from training.data.dataset import Dataset
from training.fitting.observers import observers
from training.fitting.run_directory import RunDirectory
from training.fitting.train import TrainedNetwork, fit

pytestmark = pytest.mark.keras

EVERYTHING = {"tensors": 0, "graph": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return RunDirectory(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def trained(config: RunConfig, dataset: Dataset, run: RunDirectory) -> TrainedNetwork:
    """Stopped in its second epoch, and gone on with."""
    short = changed(config, fit={"epochs": 3})
    with pytest.raises(Stopped):
        fit(short, dataset, run, observers=[*observers(run, short, dataset), StopAtEpoch(1)])
    return fit(short, dataset, run, observers=observers(run, short, dataset))


@pytest.fixture
def logs(trained: TrainedNetwork, run: RunDirectory) -> dict[str, EventAccumulator]:
    """What TensorBoard itself reads back, by the name of its run."""
    found = {}
    for folder in run.tensorboard.iterdir():
        found[folder.name] = EventAccumulator(str(folder), size_guidance=EVERYTHING)
        found[folder.name].Reload()
    return found


def values(logs: EventAccumulator, tag: str) -> list[float]:
    events = sorted(logs.Tensors(tag), key=lambda event: event.step)
    assert [event.step for event in events] == [1, 2, 3]
    return [float(make_ndarray(event.tensor_proto)) for event in events]


@pytest.mark.parametrize(
    ("part", "tag", "key"),
    [
        ("train", "loss", "loss"),
        ("train", "accuracy", "accuracy"),
        ("train", "learning rate", "learning_rate"),
        ("validation", "loss", "val_loss"),
        ("validation", "accuracy", "val_accuracy"),
    ],
)
def test_curve_has_each_epoch_once_also_after_a_stop(
    part: str, tag: str, key: str, logs: dict[str, EventAccumulator], trained: TrainedNetwork
) -> None:
    recorded = [record[key] for record in trained.history]
    assert values(logs[part], tag) == pytest.approx(recorded, rel=1e-5)


def test_throughput_is_that_of_the_steps_alone(
    logs: dict[str, EventAccumulator], trained: TrainedNetwork, dataset: Dataset
) -> None:
    for speed, record in zip(
        values(logs["train"], "images per second"), trained.history, strict=True
    ):
        assert speed > len(dataset.train) / record["duration_s"]


@pytest.mark.parametrize("tag", ["confusion matrix", "predictions"])
def test_every_validation_has_its_picture(tag: str, logs: dict[str, EventAccumulator]) -> None:
    events = logs["validation"].Tensors(tag)

    assert sorted(event.step for event in events) == [1, 2, 3]
    for event in events:
        width, height, *pictures = event.tensor_proto.string_val
        (picture,) = (Image.open(io.BytesIO(png)) for png in pictures)
        assert picture.size == (int(width), int(height))
        assert np.asarray(picture).std() > 10  # something is drawn


def test_augmented_images_are_there_once_in_the_size_of_the_network(
    logs: dict[str, EventAccumulator],
) -> None:
    (event,) = logs["train"].Tensors("augmented")

    width, height, *pictures = event.tensor_proto.string_val
    assert (width, height) == (b"28", b"28")
    assert len(pictures) == 24


def test_graph_is_there(logs: dict[str, EventAccumulator]) -> None:
    nodes = logs["train"].Graph().node

    assert {"Conv2D", "Softmax"} <= {node.op for node in nodes}
