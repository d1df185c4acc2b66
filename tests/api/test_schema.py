"""Requests made up from the OpenAPI document, against a server: what it answers is documented."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.live_server import listening
from tests.api.samples_world import labelled, put
from tests.api.world import add_version, picture

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

# What is there: made-up names would reach little more than 404.
REAL = {"name": "cifar10", "version": 1, "index": 0, "label": "stable"}

MOST_WITHOUT_PARAMETERS = 10

BOUNDED = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=10,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def schema(tmp_path: Path) -> Iterator[Any]:
    store, samples = tmp_path / "store", tmp_path / "samples"
    for folder in (store, samples):
        folder.mkdir()
    add_version(store)
    put(samples, labelled())
    with listening(store, samples_dir=samples) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize("mode", GenerationMode)
def test_answers_are_those_of_the_document(schema: Any, mode: GenerationMode) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    operations.sort(key=lambda operation: "admin" in operation.path)  # they change what is there
    statuses: defaultdict[str, set[int]] = defaultdict(set)

    for operation in operations:
        for is_real in (False, True):
            if is_real and operation.path.endswith("/unload"):
                continue  # nothing would answer after that
            # Of what takes no parameters nothing can be wrong.
            with contextlib.suppress(Unsatisfiable):
                statuses[operation.label] |= ask(operation, mode, is_real=is_real)

    assert len(operations) > 25
    assert len(statuses) > MOST_WITHOUT_PARAMETERS
    image, classified = "GET /v1/models/{name}/samples/{index}/image", "POST /v1/classify"
    if mode is GenerationMode.POSITIVE:
        assert {200, 404} <= statuses[image]
        assert {200, 404} <= statuses[classified]
    else:
        assert 422 in statuses[classified]


def ask(operation: Any, mode: GenerationMode, *, is_real: bool) -> set[int]:
    """Send requests of one operation and return what they were answered with."""
    statuses = set()

    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if is_real:
            case.path_parameters = {name: REAL[name] for name in case.path_parameters or {}}
        if is_real and case.media_type is not None and case.media_type.startswith("image/"):
            case.body = picture()
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    send()
    return statuses
