from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import ArtifactError
from app.registry.rollout_file import ROLLOUTS_FILE, change_rollout, read_rollouts
from app.registry.rollout_plan import (
    NO_ROLLOUT,
    CanaryEnd,
    CanaryPlan,
    RolloutPlan,
    ShadowPlan,
    parse_shares,
    target_version,
)

CANARY = CanaryPlan(target="3", share=0.05)
SHADOW = ShadowPlan(target="canary", share=0.5)
END = CanaryEnd(version=3, reason="too slow", ended_at=datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("target", "labels", "versions", "expected"),
    [
        pytest.param("3", {}, (1, 3), 3, id="a version"),
        pytest.param("3", {}, (1, 2), None, id="a version that is not there"),
        pytest.param("next", {"next": 2}, (1, 2), 2, id="a label"),
        pytest.param("next", {"next": 3}, (1, 2), None, id="a label of what is not there"),
        pytest.param("next", {}, (1, 2), None, id="no such label"),
        pytest.param("latest", {}, (1, 7, 3), 7, id="latest"),
        pytest.param("latest", {}, (), None, id="latest of none"),
    ],
)
def test_target(
    target: str, labels: Mapping[str, int], versions: Collection[int], expected: int | None
) -> None:
    assert target_version(target, labels, versions) == expected


def test_shares_are_read_by_model() -> None:
    text = "cifar10:latest=0.05, fashion_mnist : 3 = 1"
    assert parse_shares(text, "KERASERVE_CANARY") == {
        "cifar10": {"target": "latest", "share": 0.05},
        "fashion_mnist": {"target": "3", "share": 1.0},
    }
    assert parse_shares(None, "KERASERVE_CANARY") == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("cifar10=0.1", "model:target=share"),
        ("cifar10:3", "model:target=share"),
        ("cifar10:3=0.1,", "''"),
        ("cifar10:3=-1", "model:target=share"),
        ("cifar10:3=1.5", "1.5"),
        ("cifar10:3=nan", "model:target=share"),
        ("Cifar:3=0.1", "'Cifar'"),
        ("cifar10:0=0.1", "'0'"),
        ("cifar10:A=0.1", "'A'"),
        ("cifar10:3=0.1,cifar10:4=0.1", "twice"),
    ],
)
def test_what_is_no_share_is_refused(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=r"^KERASERVE_SHADOW: ") as caught:
        parse_shares(text, "KERASERVE_SHADOW")
    assert named in str(caught.value)


def test_what_was_said_goes_before_the_settings() -> None:
    settings = RolloutPlan(canary=CANARY, shadow=SHADOW)
    off = CanaryPlan(target="latest", share=0)
    assert NO_ROLLOUT.over(settings) == settings
    assert RolloutPlan(canary=off, ended=(END,)).over(settings) == RolloutPlan(
        canary=off, shadow=SHADOW, ended=(END,)
    )
    assert settings.over(None) == settings


def test_targets_are_those_with_a_share() -> None:
    assert RolloutPlan(canary=CANARY, shadow=SHADOW).targets() == ("3", "canary")
    assert RolloutPlan(canary=CanaryPlan(target="3", share=0)).targets() == ()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf")])
def test_share_is_a_share(share: float) -> None:
    with pytest.raises(ValidationError):
        CanaryPlan(target="3", share=share)


def test_plans_are_kept_beside_each_other(tmp_path: Path) -> None:
    written = change_rollout(tmp_path, "cifar10", lambda plan: RolloutPlan(canary=CANARY))
    change_rollout(tmp_path, "other", lambda plan: RolloutPlan(shadow=SHADOW))
    ended = change_rollout(tmp_path, "cifar10", lambda plan: plan.with_ends(END))
    assert written == RolloutPlan(canary=CANARY)
    assert ended == RolloutPlan(canary=CANARY, ended=(END,))
    assert read_rollouts(tmp_path) == {"cifar10": ended, "other": RolloutPlan(shadow=SHADOW)}


def test_plan_that_says_nothing_is_not_kept(tmp_path: Path) -> None:
    change_rollout(tmp_path, "cifar10", lambda plan: RolloutPlan(canary=CANARY))
    change_rollout(tmp_path, "cifar10", lambda plan: NO_ROLLOUT)
    assert read_rollouts(tmp_path) == {}


def test_ends_are_kept_by_version_and_not_for_ever() -> None:
    ends = [END.model_copy(update={"version": version}) for version in range(1, 21)]
    plan = RolloutPlan().with_ends(*ends)
    assert [end.version for end in plan.ended] == list(range(5, 21))
    again = END.model_copy(update={"version": 7, "reason": "again"})
    assert plan.with_ends(again).end_of(7) == again
    assert len(plan.with_ends(again).ended) == 16
    assert plan.end_of(99) is None


def test_model_that_can_have_no_folder_is_kept_out(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="'CIFAR10' cannot name a model"):
        change_rollout(tmp_path, "CIFAR10", lambda plan: RolloutPlan(canary=CANARY))
    assert not (tmp_path / ROLLOUTS_FILE).exists()


def test_what_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    change_rollout(tmp_path, "cifar10", lambda plan: plan)
    assert not (tmp_path / ROLLOUTS_FILE).exists()


def test_broken_file_is_said_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / ROLLOUTS_FILE).write_text('{"cifar10": {"canary": {"target": "3"}}}')
    with pytest.raises(ArtifactError, match=r"canary\.share"):
        change_rollout(tmp_path, "cifar10", lambda plan: RolloutPlan(canary=CANARY))
    assert "share" not in (tmp_path / ROLLOUTS_FILE).read_text()
