from __future__ import annotations

from collections.abc import Callable

import pytest

from app.runtime.xla_choice import MOST_EXECUTIONS, MOST_S, choose_xla
from app.types import ImageArray, InputSpec, ScoreArray
from tests.fakes import FakeClock, PuppetServable, scores_of

SPEC = InputSpec(2, 2, 1)


class Builder:
    """Makes puppets whose executions take so long on a clock of their own."""

    def __init__(self, plain_s: float, xla_s: float, error: Exception | None = None) -> None:
        self.clock = FakeClock()
        self.made: dict[bool, PuppetServable] = {}
        self._times_s = {False: plain_s, True: xla_s}
        self._error = error

    def __call__(self, is_xla: bool) -> PuppetServable:
        self.made[is_xla] = PuppetServable(self._behave(is_xla))
        return self.made[is_xla]

    def _behave(self, is_xla: bool) -> Callable[[ImageArray], ScoreArray]:
        def execute(images: ImageArray) -> ScoreArray:
            if is_xla and self._error is not None:
                raise self._error
            is_first = len(self.made[is_xla].executed) == 1
            self.clock.advance(100 if is_first else self._times_s[is_xla])
            return scores_of(images)

        return execute


@pytest.mark.parametrize(
    ("plain_ms", "xla_ms", "expected"),
    [
        pytest.param(10, 6, True, id="much faster"),
        pytest.param(10, 9.7, False, id="not worth its compilation"),
        pytest.param(10, 200, False, id="slower"),
    ],
)
def test_the_faster_one_is_chosen_its_first_execution_left_out(
    plain_ms: float, xla_ms: float, expected: bool
) -> None:
    build = Builder(plain_ms / 1000, xla_ms / 1000)
    assert choose_xla(build, SPEC, 8, build.clock) is expected
    assert all(puppet.is_closed for puppet in build.made.values())
    assert {len(images) for puppet in build.made.values() for images in puppet.executed} == {8}


def test_measuring_is_bounded_in_executions_and_in_time() -> None:
    build = Builder(MOST_S / 1000, MOST_S * 5)
    choose_xla(build, SPEC, 1, build.clock)
    assert len(build.made[False].executed) == 1 + MOST_EXECUTIONS
    assert len(build.made[True].executed) == 2


def test_network_that_xla_cannot_compile_goes_without() -> None:
    build = Builder(0.01, 0.001, RuntimeError("no such operation"))
    assert choose_xla(build, SPEC, 1, build.clock) is False
    assert build.made[True].is_closed


def test_network_that_cannot_be_executed_at_all_is_an_error() -> None:
    def build(is_xla: bool) -> PuppetServable:
        def execute(images: ImageArray) -> ScoreArray:
            raise RuntimeError("broken")

        return PuppetServable(execute)

    with pytest.raises(RuntimeError, match="broken"):
        choose_xla(build, SPEC, 1)
