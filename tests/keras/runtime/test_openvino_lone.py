"""A lone image has a network of its own in the openvino engine, where that can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
import pytest

from app.artifacts.layout import OPENVINO_MODEL
from app.runtime.openvino_engine import OpenVinoServable
from tests.keras.runtime.test_openvino_engine import SHIPPED, SPEC, images

pytestmark = pytest.mark.keras


@pytest.fixture
def batch_axes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The batch axis of every network that is compiled."""
    axes: list[str] = []
    compile_model = ov.Core.compile_model

    def noting(core: ov.Core, network: Any, *args: Any, **kwargs: Any) -> Any:
        axes.append(str(network.inputs[0].get_partial_shape()[0]))
        return compile_model(core, network, *args, **kwargs)

    monkeypatch.setattr(ov.Core, "compile_model", noting)
    return axes


def network(*sizes: int) -> OpenVinoServable:
    return OpenVinoServable(SHIPPED / OPENVINO_MODEL, SPEC, 10, sizes, "float32")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((1, 4), ["?", "1"]), ((1,), ["?", "1"]), ((4, 8), ["?"])],
    ids=["with others", "alone", "a lone image is filled up"],
)
def test_lone_image_has_a_network_where_that_is_a_batch(
    batch_axes: list[str], sizes: tuple[int, ...], expected: list[str]
) -> None:
    servable = network(*sizes)
    assert batch_axes == expected
    assert servable.execute(images(1)).shape == (1, 10)
    servable.close()


def test_it_gives_the_same_answers_on_every_thread_that_has_one(batch_axes: list[str]) -> None:
    servable = network(1, 4)
    together = servable.execute(images(4))
    for execute in (servable.execute, servable.on_all_cores(), servable.on_all_cores()):
        for row in range(4):
            alone = execute(images(4)[row : row + 1])
            np.testing.assert_allclose(alone, together[row : row + 1], atol=1e-6)
    assert len(batch_axes) == 2  # however many execute
    servable.close()


def test_network_that_takes_no_fixed_batch_axis_does_without(
    monkeypatch: pytest.MonkeyPatch, batch_axes: list[str]
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("the shapes do not go together")

    monkeypatch.setattr(ov.Model, "reshape", refuse)
    servable = network(1, 4)
    assert batch_axes == ["?"]
    assert servable.execute(images(1)).shape == (1, 10)
    servable.close()
