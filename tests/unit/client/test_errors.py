"""The classes of the client's errors against the codes of the service."""

import pytest

from app.api.problems import KINDS
from app.client.errors import (
    BY_CODE,
    QueueFullError,
    RequestFaultError,
    ServiceFaultError,
    TemporaryError,
    problem_class,
)


@pytest.mark.parametrize("code", KINDS)
def test_every_code_of_the_service_has_a_class_of_its_own_in_the_right_group(code: str) -> None:
    kind, found = KINDS[code], problem_class(code, KINDS[code].status)

    assert found.code == code
    is_temporary = kind.status in (429, 503)
    assert issubclass(found, TemporaryError) == is_temporary
    assert issubclass(found, RequestFaultError) == (kind.status < 500 and not is_temporary)


def test_no_two_classes_share_a_code() -> None:
    assert len(set(BY_CODE.values())) == len(BY_CODE)
    assert all(found.code == code for code, found in BY_CODE.items())


@pytest.mark.parametrize(("status", "group"), [(418, RequestFaultError), (599, ServiceFaultError)])
def test_code_of_a_later_release_is_told_by_its_status(status: int, group: type) -> None:
    assert problem_class("of_tomorrow", status) is group


def test_problem_keeps_what_the_document_says() -> None:
    error = QueueFullError("full", status=429, code="queue_full", request_id="r", retry_after_s=2)

    assert str(error) == error.detail == "full"
    assert (error.status, error.code, error.request_id, error.retry_after_s) == (
        429, "queue_full", "r", 2,
    )  # fmt: skip
