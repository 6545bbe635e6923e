"""What a study searches for, in Optuna's words."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.study import StudyDirection

from bench.studies import Objective


def directions_of(objectives: Sequence[Objective]) -> list[StudyDirection]:
    """Return the direction of each objective."""
    return [
        StudyDirection.MAXIMIZE if each.maximize else StudyDirection.MINIMIZE for each in objectives
    ]
