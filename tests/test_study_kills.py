"""Studies that are killed again and again; `study_kills.py` says what is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_kills import Campaign, carry_out


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pruner", ["none", "halving"])
def test_a_killed_study_loses_no_trial_and_makes_none_twice(tmp_path: Path, pruner: str) -> None:
    campaign = Campaign(tmp_path, seed=7, pruner=pruner)
    carry_out(campaign, kills=3)
    assert len(campaign.kills) == 3
