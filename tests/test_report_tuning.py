"""What a report tells of tuning, from the files that studies leave."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from report_samples import HOSTILE
from study_samples import (
    DECAY,
    LATENCY,
    RATE,
    SCORE,
    SIZE,
    make_rate_study,
    make_study,
    make_trial,
    make_wide_study,
)

from bench import importance, studies
from bench.charts import Axis, Band, Chart, Dot, Line, Rule
from bench.charts.svg import draw
from bench.importance import Importances
from bench.report import study_charts
from bench.report.content import StudyPart
from bench.report.tuning import IN_FULL, MOST_TRIALS, study_parts
from bench.store import Store
from bench.studies import StudyRecord, TrialState
from bench.study_series import view_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have importances without Optuna, and note of which studies they were computed."""
    asked: list[str] = []

    def importances(study: StudyRecord, values: Any, seed: int = 0) -> Importances:
        asked.append(study.id)
        shares = {name: 1 / len(study.space) for name in study.space}
        return Importances(shares, "share of what params explain alone")

    monkeypatch.setattr(importance, "importances", importances)
    return asked


def one(store: Store, study: StudyRecord) -> StudyPart:
    [part] = study_parts(store, [study])
    return part


def chart(part: StudyPart, name: str) -> Chart:
    [found] = [each for each in part.charts if each.name.endswith(f"-{name}")]
    return found


def names(part: StudyPart) -> list[str]:
    return [each.name.rpartition("-")[2] for each in part.charts]


def test_a_study_is_told_whole(store: Store) -> None:
    study = make_wide_study(60, pruned=False)
    view = view_of(study)
    part = one(store, study)
    assert (part.id, part.title) == ("s0", "shapes · net · adamw")
    assert names(part) == ["history", "importances", "expected", "parallel"]
    facts = dict(part.facts)
    assert facts["trials"].startswith("60 trials (")
    assert facts["sampler"] == "random, seed 0"
    assert facts["adamw.lr"] == "1e-05 to 0.1 logarithmic"
    assert "× diverged: the loss is not finite" in facts["failed"]
    winner, default = view.winner, view.default
    assert winner is not None
    assert default is not None
    best, usual = view.values[winner.number], view.values[0]
    assert part.answer == (
        f"trial {winner.number} of 60 has the best val score {best:.4f}, {best - usual:.4f} from "
        f"the defaults' {usual:.4f}; val chose it, so expect less on test"
    )
    assert part.trials is not None
    assert len(part.trials.rows) == MOST_TRIALS
    assert part.trials.rows[0][0].text == str(winner.number)
    assert "0" in [row[0].text for row in part.trials.rows]
    assert "15 of 60" in part.trials.note


def test_the_history_shows_each_trial_and_the_best_so_far(store: Store) -> None:
    scores = [0.5, 0.4, 0.7, 0.6]
    trials = [make_trial(number, score) for number, score in enumerate(scores)]
    trials.append(make_trial(4, 0.3, state=TrialState.PRUNED))
    trials.append(make_trial(5, state=TrialState.FAILED))
    found = chart(one(store, make_study(trials, over=True)), "history")
    dots = [mark for mark in found.marks if isinstance(mark, Dot)]
    assert [(dot.x, dot.y) for dot in dots] == [*enumerate(scores), (4, 0.3)]
    assert found.series == ("complete", "pruned", "best so far")
    assert [dot.series for dot in dots] == [0, 0, 0, 0, 1]
    [line] = [mark for mark in found.marks if isinstance(mark, Line)]
    assert (line.x, line.y) == ((0, 1, 2, 3, 5), (0.5, 0.5, 0.7, 0.7, 0.7))
    assert line.stepped
    assert [mark.y for mark in found.marks if isinstance(mark, Rule)] == [0.5]
    assert "1 trial without a score, of 6" in found.note


def test_a_trial_that_is_far_off_leaves_room_for_the_others(store: Store) -> None:
    trials = [make_trial(n, score) for n, score in enumerate([0.9, 0.91, 0.92, 0.93, -50.0])]
    found = chart(one(store, make_study(trials, over=True)), "history")
    low = min(mark.y for mark in found.marks if isinstance(mark, Dot))
    assert low > 0.8
    assert "1 trial stands at the edge" in found.note


def test_the_expected_best_has_a_band_and_the_defaults(store: Store) -> None:
    study = make_wide_study(40, pruned=False)
    found = chart(one(store, study), "expected")
    curve = view_of(study).expected.curve
    [line] = [mark for mark in found.marks if isinstance(mark, Line)]
    [band] = [mark for mark in found.marks if isinstance(mark, Band)]
    assert len(line.x) == len(band.x) == len(curve)
    assert line.y[-1] == pytest.approx(curve[-1].mean)
    assert all(low <= y <= high for low, y, high in zip(band.low, line.y, band.high, strict=True))
    other = one(store, make_wide_study(40, sampler="tpe", pruned=False, name="other"))
    assert "expected" not in names(other)
    assert "random" in dict(other.facts)["expected best"]


def test_parallel_lines_go_through_the_params_of_each_trial(store: Store) -> None:
    space = {"adamw.lr": RATE, "decay": DECAY, "size": SIZE}
    trials = [
        make_trial(0, 0.5, params={"adamw.lr": 1e-5, "decay": 0.0, "size": 32}),
        make_trial(1, 0.7, params={"adamw.lr": 1e-1, "decay": 0.3, "size": 128}),
        make_trial(2, 0.6, params={"adamw.lr": 1e-3, "size": 64}),
        make_trial(3, state=TrialState.FAILED, params={"adamw.lr": 1e-3}),
    ]
    found = chart(one(store, make_study(trials, space=space, over=True)), "parallel")
    lines = {mark.hover.partition(":")[0]: mark for mark in found.marks if isinstance(mark, Line)}
    assert {*lines} == {"trial 0", "trial 1", "trial 2"}
    assert found.x.categories == (*space, "val score")
    lowest, highest, middle = (lines[f"trial {n}"] for n in range(3))
    assert max(lowest.y) < 0.1
    assert min(highest.y) > 0.9
    assert middle.y[0] == pytest.approx(0.5)
    assert middle.y[1] == study_charts.OFF
    assert middle.y[3] == pytest.approx(0.5)
    assert [line.series for line in (highest, middle, lowest)] == [0, -1, -1]
    assert "did not apply" in found.note


def test_of_many_trials_some_have_lines(store: Store) -> None:
    study = make_rate_study([10 ** (-5 + 4 * n / 199) for n in range(200)], over=True)
    found = chart(one(store, study), "parallel")
    drawn = [mark for mark in found.marks if isinstance(mark, Line)]
    assert len(drawn) == study_charts.MOST_LINES
    best = view_of(study).ranked[0].number
    assert any(line.hover.startswith(f"trial {best}:") and line.series == 0 for line in drawn)
    assert "60 of 200" in found.note


def test_two_objectives_have_a_front(store: Store) -> None:
    study = make_wide_study(60, objectives=(SCORE, LATENCY))
    part = one(store, study)
    view = view_of(study)
    found = chart(part, "front")
    on = {mark.label for mark in found.marks if isinstance(mark, Dot) and not mark.hollow}
    assert on == {str(trial.number) for trial in view.front}
    [line] = [mark for mark in found.marks if isinstance(mark, Line)]
    assert list(line.x) == sorted(line.x)
    assert list(line.y) == sorted(line.y)  # more score costs more time
    assert part.answer == (
        f"{len(view.front)} of 60 trials that no other beats in val score and latency (ms) at once"
    )
    assert part.trials is not None
    assert [column.heading for column in part.trials.columns[2:4]] == ["val score", "latency (ms)"]


def test_importances_are_computed_once(store: Store, quick: list[str]) -> None:
    study = make_wide_study(30)
    first = one(store, study)
    assert one(Store(store.root), study) == first
    assert quick == [study.id]
    longer = dataclasses.replace(study, trials=[*study.trials, make_trial(30, 0.99)])
    one(store, longer)
    assert quick == [study.id, study.id]


def test_what_the_index_holds_may_be_anything(store: Store, quick: list[str]) -> None:
    study = make_wide_study(20)
    whole = one(store, study)
    for damage in ("", "[]", "{", '{"key": 1}', '{"key": null, "shares": 7}'):
        store.remember({f"importances:{study.id}": damage})
        assert one(store, study) == whole
    assert len(quick) == 6


def test_of_a_study_under_way_importances_are_not_waited_for(
    store: Store, quick: list[str]
) -> None:
    study = make_wide_study(30, over=False)
    part = one(store, study)
    assert quick == []
    assert "importances" not in names(part)
    assert f"bench show {study.id}" in dict(part.facts)["importances"]
    assert "so far" in part.answer


def test_of_many_studies_the_best_are_told_in_full(store: Store) -> None:
    found = [
        make_study(
            [make_trial(0, number / 100), make_trial(1, number / 50)], name=f"study {number}"
        )
        for number in range(IN_FULL + 3)
    ]
    parts = study_parts(store, found)
    assert [part.id for part in parts] == [f"s{number}" for number in range(IN_FULL + 3)]
    assert [bool(part.trials) for part in parts] == [True] * IN_FULL + [False] * 3
    assert [dict(part.facts)["study"][:12] for part in parts] == [
        study.id for study in reversed(found)
    ]
    assert all(part.answer for part in parts)


@pytest.mark.parametrize(
    ("trials", "says"),
    [
        ([], "no trial is complete with a value, of 0 trials"),
        ([make_trial(0, state=TrialState.FAILED)], "no trial is complete with a value, of 1 trial"),
        (
            [make_trial(0, 0.9), make_trial(1, 0.8)],
            "2 trials found nothing better than the defaults: val score 0.9000",
        ),
        (
            [make_trial(0, state=TrialState.FAILED), make_trial(1, 0.8)],
            "trial 1 of 2 has the best val score 0.8000; val chose it, so expect less on test",
        ),
    ],
)
def test_the_answer_says_what_tuning_came_to(store: Store, trials: Any, says: str) -> None:
    assert one(store, make_study(trials, over=True)).answer == says


@pytest.mark.parametrize(
    "study",
    [
        make_study(),
        make_study([make_trial(0, math.inf)]),
        make_study([make_trial(0, 0.5), make_trial(1, 0.5)], over=True),
        make_study([make_trial(0, None, state=state) for state in TrialState]),
        make_study([make_trial(0, 0.4, params={"adamw.lr": -1}), make_trial(1, 0.3)]),
        make_wide_study(40, objectives=(LATENCY,), pruned=False),
        make_wide_study(40, objectives=(SCORE, LATENCY, LATENCY)),
        make_study([make_trial(0, 0.5, objectives=[0.5, 2.0])], objectives=[SCORE, LATENCY]),
        *(
            make_study(
                [make_trial(n, n / 10, params={name: n}) for n in range(4)],
                name=name,
                model=name,
                dataset=name,
                space={name: {"kind": "choice", "choices": [0, 1, name]}},
                label=name,
                over=True,
            )
            for name in HOSTILE
        ),
    ],
)
def test_whatever_a_study_holds_can_be_told_and_drawn(store: Store, study: StudyRecord) -> None:
    part = one(store, study)
    texts = [part.title, part.answer, *(text for fact in part.facts for text in fact)]
    assert all("\n" not in text and "\x00" not in text for text in texts)
    assert not any("nan" in text.lower() for text in texts)
    for found in part.charts:
        for mark in found.marks:
            if isinstance(mark, Line):
                assert all(map(math.isfinite, (*mark.x, *mark.y)))
            if isinstance(mark, Dot):
                assert math.isfinite(mark.x)
                assert math.isfinite(mark.y)
        assert isinstance(found.y, Axis)
        assert "<script" not in draw(found)


def test_reading_a_remembered_study_needs_no_optuna(store: Store) -> None:
    study = make_wide_study(20)
    studies.write(store.root, study)
    one(store, study)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bench import studies\n"
        "from bench.report.tuning import study_parts\n"
        "from bench.store import Store\n"
        f"store = Store(Path({str(store.root)!r}))\n"
        "[part] = study_parts(store, studies.read_all(store.root)[0])\n"
        "assert any(chart.name.endswith('importances') for chart in part.charts)\n"
        "heavy = {'optuna', 'sklearn', 'torch', 'matplotlib', 'pandas'} & {*sys.modules}\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
