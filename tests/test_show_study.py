from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Done
from samples import make_record, make_spec
from study_samples import (
    LATENCY,
    SCORE,
    make_rate_study,
    make_study,
    make_trial,
    make_wide_study,
)

from bench import studies
from bench.store import Store
from bench.studies import Objective, StudyRecord, TrialState

Cli = Callable[..., Done]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def keep(results: Path, *found: StudyRecord) -> None:
    for study in found:
        studies.write(results, study)


def shown(cli: Cli, results: Path, name: str, *words: Any) -> str:
    done = cli("show", name, "--results", results, *words)
    assert done.code == 0, done.err
    return done.out


def section(text: str, heading: str) -> list[list[str]]:
    """Return the words of each line below a heading, up to an empty line."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(heading))
    rows = []
    for line in lines[start + 1 :]:
        if not line.strip():
            break
        rows.append(line.split())
    return rows


def finished(study: StudyRecord, number: int) -> StudyRecord:
    command = f"bench run --datasets shapes --models net --set adamw.lr=0.{number}"
    return dataclasses.replace(
        study, over=True, best=[number], commands=[command], finals=[["aaaa", "bbbb"]]
    )


# What is printed


def test_a_study_is_shown_with_its_trials_and_its_winner(cli: Cli, results: Path) -> None:
    study = finished(make_rate_study([1e-4, 1e-2, 1e-1], name="cell"), 1)
    keep(results, study)
    text = shown(cli, results, "cell")
    header = dict(line.split(maxsplit=1) for line in text.split("\n\n")[0].splitlines())
    assert header["study"] == f"{study.id} cell"
    assert header["cell"] == "shapes · net · adamw"
    assert header["state"] == "over"
    assert header["sampler"] == "tpe, seed 0"
    assert header["spent"] == "3 trials, 12 s of training, 30 epochs"
    assert header["wanted"] == "highest val score"
    assert section(text, "searched") == [["adamw.lr", "1e-05", "to", "0.1", "logarithmic"]]
    _, *trials = section(text, "trials, best first")
    assert [row[:3] for row in trials] == [
        ["1", "complete", "0.9000"],
        ["2", "complete", "0.8000"],
        ["0", "complete", "0.7000"],
    ]
    assert trials[2][-3:] == ["the", "defaults:", "adamw.lr=0.0001"]
    assert section(text, "best so far")[1:] == [["0", "0.7000"], ["1", "0.9000"]]
    assert section(text, "winner: trial 1") == [
        ["param", "winner", "default"],
        ["adamw.lr", "0.01", "0.0001"],
        ["the", "defaults", "came", "to", "0.7000"],
    ]
    assert f"to train trial 1:\n  {study.commands[0]}\n" in text
    assert "final runs of trial 1: aaaa, bbbb" in text
    assert "no importances: 3 complete trials" in text
    assert "no expected best after k trials: it is for `--sampler random` only" in text


def test_a_study_under_way_has_a_best_so_far_and_no_winner(cli: Cli, results: Path) -> None:
    trials = [make_trial(0, 0.6), make_trial(1, state=TrialState.RUNNING)]
    keep(results, make_study(trials, name="cell"), make_study(name="empty"))
    text = shown(cli, results, "cell")
    assert "under way" in text
    assert "best so far: trial 0, val score 0.6000" in text
    assert "winner:" not in text
    assert "1 running" in text
    assert "the defaults came to" not in text  # they are the best
    empty = shown(cli, results, "empty")
    assert "no trial has begun" in empty
    assert "no winner: no trial is complete" in empty


def test_of_many_trials_the_best_dozen_is_shown(cli: Cli, results: Path) -> None:
    study = make_wide_study(60, name="wide")
    keep(results, study)
    text = shown(cli, results, "wide")
    assert "trials, best first, 12 of 60; --json has all" in text
    rows = section(text, "trials, best first")[1:]
    scores = [float(row[2]) for row in rows]
    assert len(scores) == 12
    assert scores == sorted(scores, reverse=True)
    failed = study.count(TrialState.FAILED)
    assert f"  {failed} × diverged: the loss is not finite" in text
    assert [row[0] for row in section(text, "searched")] == [*study.space]
    importances = section(text, "importances")
    assert importances[0][0] == "adamw.lr"
    assert len(importances) == 12


def test_random_trials_have_an_expected_best(cli: Cli, results: Path) -> None:
    trials = [make_trial(n, 0.5 + n / 100) for n in range(13)]
    trials.append(make_trial(13, state=TrialState.FAILED))
    keep(results, make_study(trials, name="cell", sampler="random"))
    rows = section(shown(cli, results, "cell"), "expected best after k trials (from 13 random")
    assert [row[0] for row in rows] == ["k", "1", "2", "5", "10", "13"]
    assert rows[-1][1] == "0.6200"
    assert rows[-1][3] == "to"


def test_several_objectives_have_a_front(cli: Cli, results: Path) -> None:
    points = [(0.9, 5.0), (0.8, 1.0), (0.7, 9.0)]
    trials = [make_trial(n, objectives=list(point)) for n, point in enumerate(points)]
    study = make_study(trials, name="cell", objectives=[SCORE, LATENCY])
    keep(results, dataclasses.replace(study, best=[0, 1], commands=["one", "two"]))
    text = shown(cli, results, "cell")
    assert "wanted      highest val score, lowest latency (ms)" in text
    front = section(text, "Pareto front: 2 trials")[1:]
    assert [row[:3] for row in front] == [["0", "0.9000", "5.0000"], ["1", "0.8000", "1.0000"]]
    assert "to train trial 0:\n  one\n" in text
    assert "to train trial 1:\n  two\n" in text
    assert "winner:" not in text


def test_json_has_all_that_follows(cli: Cli, results: Path) -> None:
    study = make_wide_study(30, name="wide", pruned=False)
    keep(results, study)
    data = json.loads(shown(cli, results, "wide", "--json"))
    assert data["schema"] == 1
    assert data["trials"][3]["params"] == study.trials[3].params
    best = max(t.objectives[0] for t in study.trials if t.objectives)
    first = data["ranked"][0]
    assert data["values"][str(first)] == data["history"][-1]["best"] == best
    assert data["front"] == [first]
    assert sum(data["importances"].values()) == pytest.approx(1)
    assert len(data["expected_best"]) == 29
    assert data["causes"] == {"diverged: the loss is not finite": study.count(TrialState.FAILED)}


def test_hostile_text_stays_on_its_line(cli: Cli, results: Path) -> None:
    bad = "a\x1b[31m\nzap"
    trial = make_trial(1, 0.5, params={bad: bad})
    failed = make_trial(2, state=TrialState.FAILED, error=bad)
    space = {bad: {"kind": "choice", "choices": [bad], "condition": bad}}
    fields = {"name": bad, "space": space, "model": bad, "sampler": bad, "pruner": bad}
    wanted = [Objective(bad, True)]
    study = make_study([trial, failed], objectives=wanted, budget=bad, started_at=bad, **fields)
    keep(results, dataclasses.replace(study, best=[1], commands=[bad], finals=[[bad]]))
    text = shown(cli, results, study.id)
    assert "\x1b" not in text
    assert "zap" in text
    assert "\nzap" not in text


# Which study is meant


def test_a_study_is_found_by_its_name_or_the_beginning_of_its_id(cli: Cli, results: Path) -> None:
    study = make_rate_study([1e-3], name="cell")
    keep(results, study, make_rate_study([1e-3], name="cell two"))
    for name in ("cell", study.id, study.id[:6]):
        assert study.id in shown(cli, results, name)
    run = make_record()
    Store(results).write(run)
    assert run.id in shown(cli, results, run.id[:8])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing",), "no run and no study in"),
        (("twice",), "2 studies are called `twice`"),
        (("STUDY", "--target", "0.5"), "`--target` is for runs, and"),
    ],
)
def test_what_is_not_meant_is_said_in_one_line(
    cli: Cli, results: Path, words: tuple[str, ...], message: str
) -> None:
    twins = [
        dataclasses.replace(make_rate_study([1e-3], name="twice"), id=letter * 12)
        for letter in "ef"
    ]
    run = make_record()
    Store(results).write(run)
    study = make_rate_study([1e-3], name="one")
    keep(results, study, *twins)
    known = {"STUDY": study.id, "RUN": run.id}
    done = cli("show", *(known.get(word, word) for word in words), "--results", results)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert message in line


def test_an_id_that_begins_a_run_and_a_study_is_ambiguous(cli: Cli, results: Path) -> None:
    run = make_record(make_spec())
    Store(results).write(run)
    study = dataclasses.replace(make_rate_study([1e-3], name="x"), id=run.id[:4] + "0" * 8)
    keep(results, study)
    done = cli("show", run.id[:4], "--results", results)
    assert done.code == 2
    assert f"`{run.id[:4]}` begins study `{study.id}` and" in done.err
    assert study.id in shown(cli, results, study.id)
    assert run.id in shown(cli, results, run.id)


def test_a_broken_study_is_a_warning(cli: Cli, results: Path) -> None:
    keep(results, make_rate_study([1e-3], name="cell"))
    (results / "studies" / ("b" * 12 + ".json")).write_text("{")
    for words in (("show", "cell"), ("list", "studies")):
        done = cli(*words, "--results", results)
        assert done.code == 0
        assert done.err.startswith("warning: skipped `")
        assert "cell" in done.out


# The list


def test_studies_are_listed_by_name(cli: Cli, results: Path) -> None:
    wide = make_wide_study(20, name="b", sampler="random")
    rate = make_rate_study([1e-3, 1e-2], name="a", optimizer="lion")
    keep(results, wide, rate)
    done = cli("list", "studies", "--results", results)
    first, second = (line.split() for line in done.out.splitlines())
    assert first == [rate.id, "a", "tpe", "2", "trials", "under", "way", "0.9000"]
    assert second[:5] == [wide.id, "b", "random", "20", "trials"]
    assert second[-2] == "over"
    picked = cli("list", "studies", "lion", "--results", results).out
    assert [line.split()[1] for line in picked.splitlines()] == ["a"]
    data = json.loads(cli("list", "studies", "--results", results, "--json").out)
    assert [each["name"] for each in data["studies"]] == ["a", "b"]
    assert data["studies"][0]["best_value"] == 0.9


def test_without_studies_the_list_is_empty(cli: Cli, results: Path) -> None:
    done = cli("list", "studies", "--results", results)
    assert (done.code, done.out, done.err) == (0, "", "")


# Pictures


def test_figures_are_drawn_beside_what_is_printed(cli: Cli, results: Path, tmp_path: Path) -> None:
    study = make_wide_study(20, name="cell", pruned=False)
    keep(results, study, make_study(name="empty"))
    folder = tmp_path / "pictures"
    done = cli("show", "cell", "--results", results, "--figures", folder, "--json")
    assert done.code == 0
    assert json.loads(done.out)["name"] == "cell"
    kinds = {"history", "importances", "parallel", "slices", "expected"}
    names = {
        f"shapes-net-adamw-{study.id}-{kind}.{end}" for kind in kinds for end in ("png", "svg")
    }
    assert {path.name for path in folder.iterdir()} == names
    assert done.err.count("drew `") == len(names)
    nothing = cli("show", "empty", "--results", results, "--figures", tmp_path / "none")
    assert nothing.err == "no pictures: no trial has begun\n"
    assert not (tmp_path / "none").exists()


def test_the_leaderboard_draws_learning_rates(cli: Cli, results: Path, tmp_path: Path) -> None:
    keep(results, *(make_rate_study([1e-3, 1e-2], optimizer=o, name=o) for o in ("adamw", "lion")))
    done = cli("leaderboard", "--results", results, "--figures", tmp_path / "out")
    assert done.code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["shapes-learning-rates.png", "shapes-learning-rates.svg"]


def test_a_study_is_found_by_what_the_user_called_it(cli: Cli, results: Path) -> None:
    one = make_study([make_trial(0, 0.5)], name="one", label="narrow")
    two = make_study([make_trial(0, 0.5)], name="two", label="wide")
    keep(results, one, two, make_study([make_trial(0, 0.5)], name="three", label="wide"))
    assert shown(cli, results, "narrow").startswith(
        f"study       {one.id} one\nlabel       narrow\n"
    )
    done = cli("show", "wide", "--results", results)
    assert done.code == 2
    assert "2 studies are called `wide`: " in done.err
    listed = cli("list", "studies", "narr*", "--results", results).out
    assert "narrow" in listed
    assert two.id not in listed
