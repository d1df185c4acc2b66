"""What routes need of the application and of the request being answered."""

from __future__ import annotations

from starlette.requests import Request

from app.lifecycle import Lifecycle


def lifecycle_of(request: Request) -> Lifecycle:
    """Return the parts that the application was built of."""
    lifecycle = request.app.state.lifecycle
    assert isinstance(lifecycle, Lifecycle)
    return lifecycle
