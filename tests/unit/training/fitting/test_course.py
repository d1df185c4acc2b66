from __future__ import annotations

import pytest

from training.config import RunConfig, ScheduleConfig
from training.fitting.course import Phase, best_epoch, phases, plateaus, should_stop
from training.fitting.run_directory import EpochRecord


def history(*losses: float) -> list[EpochRecord]:
    return [{"epoch": number, "val_loss": loss} for number, loss in enumerate(losses, start=1)]


def config(**fit: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "tiny",
            "data": {"dataset": "cifar10"},
            "architecture": {"name": "cifar10_cnn"},
            "optimizer": {"learning_rate": 0.5},
            "fit": {"epochs": 10, **fit},
        }
    )


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        pytest.param([0.5], 1, id="the only one"),
        pytest.param([0.5, 0.3, 0.4], 2, id="the lowest"),
        pytest.param([0.5, 0.3, 0.3], 2, id="the first of equals"),
    ],
)
def test_best_epoch_is(losses: list[float], epoch: int) -> None:
    assert best_epoch(history(*losses)) == epoch


@pytest.mark.parametrize(
    ("losses", "patience", "stops"),
    [
        pytest.param([0.5, 0.6, 0.7], 0, False, id="never without a patience"),
        pytest.param([], 1, False, id="not before the first epoch"),
        pytest.param([0.5, 0.4, 0.3], 1, False, id="not while the loss falls"),
        pytest.param([0.5, 0.6], 2, False, id="not before the patience is over"),
        pytest.param([0.5, 0.6, 0.7], 2, True, id="when the patience is over"),
        pytest.param([0.5, 0.6, 0.4, 0.6], 2, False, id="counted from the last improvement"),
        pytest.param([0.5, 0.49995, 0.4999], 2, True, id="less than the noise is no improvement"),
    ],
)
def test_stopping(losses: list[float], patience: int, stops: bool) -> None:
    assert should_stop(history(*losses), patience) is stops


@pytest.mark.parametrize(
    ("losses", "reductions"),
    [
        pytest.param([], 0, id="not before the first epoch"),
        pytest.param([0.5, 0.4, 0.3, 0.2], 0, id="not while the loss falls"),
        pytest.param([0.5, 0.6], 0, id="not before the patience is over"),
        pytest.param([0.5, 0.6, 0.6], 1, id="when the patience is over"),
        pytest.param([0.5, 0.6, 0.6, 0.6], 1, id="the patience begins anew"),
        pytest.param([0.5, 0.6, 0.6, 0.6, 0.6], 2, id="and ends again"),
        pytest.param([0.5, 0.6, 0.6, 0.4, 0.5], 1, id="an improvement keeps the reduced rate"),
    ],
)
def test_plateaus_with_a_patience_of_two_epochs(losses: list[float], reductions: int) -> None:
    schedule = ScheduleConfig(name="plateau", patience_epochs=2)

    assert plateaus(history(*losses), schedule) == reductions


def test_run_without_a_backbone_has_one_phase() -> None:
    assert phases(config()) == (Phase(0, 10, frozen=False, peak=0.5),)


def test_backbone_is_frozen_first_and_then_trained_at_a_lower_rate() -> None:
    assert phases(config(frozen_epochs=3, fine_tuning_rate=0.1)) == (
        Phase(0, 3, frozen=True, peak=0.5),
        Phase(3, 10, frozen=False, peak=0.05),
    )


def test_plain_epochs_are_a_phase_of_their_own_at_the_end() -> None:
    assert phases(config(plain_epochs=4, fine_tuning_rate=0.1)) == (
        Phase(0, 6, frozen=False, peak=0.5),
        Phase(6, 10, frozen=False, peak=0.05, plain=True),
    )


def test_frozen_and_plain_epochs_leave_the_main_phase_between_them() -> None:
    assert phases(config(frozen_epochs=2, plain_epochs=3, fine_tuning_rate=0.1)) == (
        Phase(0, 2, frozen=True, peak=0.5),
        Phase(2, 7, frozen=False, peak=0.05),
        Phase(7, 10, frozen=False, peak=0.05, plain=True),
    )
