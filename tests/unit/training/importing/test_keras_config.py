"""What Keras 2 wrote, in the words of Keras 3."""

from __future__ import annotations

import json
from typing import Any

from training.importing.keras_config import modernise


def network(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"module": "keras", "class_name": "Functional", "config": {"layers": list(layers)}}


def test_words_of_keras_2_become_those_of_keras_3() -> None:
    config = network(
        {"class_name": "DepthwiseConv2D", "config": {"groups": 1, "kernel_size": [3, 3]}},
        {"class_name": "BatchNormalization", "config": {"axis": [3]}},
    )

    assert modernise(config)
    assert json.loads(json.dumps(config)) == network(
        {"class_name": "DepthwiseConv2D", "config": {"kernel_size": [3, 3]}},
        {"class_name": "BatchNormalization", "config": {"axis": 3}},
    )
    assert not modernise(config)
