"""Bagging and boosting end to end: members through the runner, rows on the leaderboard."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Done, Watcher
from ensemble_samples import read, write_run

from bench import api, leaderboard
from bench.answers import AnswerBook
from bench.api import Result, prepare
from bench.boosting import SEED_STEP, Boosting, Course
from bench.combining import samme_step
from bench.config import ExperimentConfig
from bench.ensembles import Recipe
from bench.item_weights import load
from bench.records import RunRecord, RunSpec, RunStatus
from bench.registry import Registry, load_registry
from bench.repeat import command_of
from bench.store import Store
from bench.trained_ensembles import Trained, member_config, train

Cli = Callable[..., Done]
DIGITS = {"datasets": "digits", "models": "cnn3", "limit": 150, "epochs": 2, "deterministic": True}
# Long enough for members that are better than guessing, as boosting needs them.
LONGER = {"limit": 200, "epochs": 8, "seeds": 2}


def trained(
    folder: Path, how: str, count: int, watcher: Watcher | None = None, **values: Any
) -> Trained:
    given = {**DIGITS, "results": folder, **values}
    config = member_config(ExperimentConfig.create(given), how, count)
    registry = load_registry()
    recipe = Recipe(how, {"members": count})
    return train(
        *(recipe, count, config, registry, *prepare(config, registry), watcher or Watcher())
    )


@pytest.fixture(scope="module")
def boosted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("boosted")
    return folder, trained(folder, "boosting", 3, **LONGER)


@pytest.fixture(scope="module")
def bagged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("bagged")
    return folder, trained(folder, "bagging", 2, seeds=2)


def members_of(folder: Path, record: RunRecord) -> list[RunRecord]:
    store = Store(folder)
    found = [store.read(run) for run in record.spec.members]
    return [member for member in found if member is not None]


# Bagging


def test_bagging_trains_samples_of_their_own(bagged: tuple[Path, Trained]) -> None:
    folder, done = bagged
    assert [built.record.spec.seed for built in done.built] == [0, 1]
    seeds = [[m.spec.seed for m in members_of(folder, b.record)] for b in done.built]
    assert seeds == [[0, 1], [2, 3]]
    for record in done.result.records:
        assert record.spec.draw == {"resample": "bootstrap"}
        assert record.spec.key["draw"] == {"resample": "bootstrap"}
        assert "train" not in record.metrics
    board = leaderboard.build(Store(folder).records(), Store(folder))
    [block] = board.blocks
    assert [row.name for row in block.rows if not row.members] == ["cnn3 (resample=bootstrap)"]
    [row] = [row for row in block.rows if row.members]
    assert (row.name, row.seeds) == ("ensemble-bagging (2 members)", 2)
    assert row.parameters == 2 * done.result.records[0].profile["parameters"]


def test_bagging_is_soft_voting_of_its_members(bagged: tuple[Path, Trained]) -> None:
    folder, done = bagged
    store = Store(folder)
    record = done.built[0].record
    each = [
        read(store, member)["test_probabilities"].astype(np.float64)
        for member in members_of(folder, record)
    ]
    assert read(store, record)["test_probabilities"] == pytest.approx(np.mean(each, 0), abs=1e-3)


def test_bagging_again_trains_nothing(bagged: tuple[Path, Trained]) -> None:
    folder, done = bagged
    watcher = Watcher()
    again = trained(folder, "bagging", 2, watcher, seeds=2)
    assert not watcher.started
    assert [built.is_new for built in again.built] == [False, False]
    assert [b.record.id for b in again.built] == [b.record.id for b in done.built]


def test_a_member_that_fails_is_a_row_and_the_rest_is_combined(tmp_path: Path, cli: Cli) -> None:
    words = ("--how", "bagging", "--members", "2", "--models", "tiny,exits", "--datasets", "tiny")
    done = cli("ensemble", *words, "--results", tmp_path, "--json")
    assert done.code == 1
    told = json.loads(done.out)
    assert [each["model"] for each in told["ensembles"]] == ["ensemble-bagging"]
    failed = [row for row in told["leaderboard"]["rows"] if row["failed"]]
    assert [row["model"] for row in failed] == ["exits"]
    assert "exits with adamw, ensemble 0: 0 of 2 members ended well" in done.err
    assert "takes two members" in done.err


# Boosting


def test_the_first_round_trains_as_a_plain_run(boosted: tuple[Path, Trained]) -> None:
    folder, done = boosted
    config = ExperimentConfig.create({**DIGITS, **LONGER, "seeds": 1, "results": folder})
    registry = load_registry()
    [plain] = api.execute(config, registry, *api.prepare(config, registry), Watcher()).records
    first = members_of(folder, done.built[0].record)[0]
    assert plain.id != first.id
    # Equal weights bring each item once, in the same order: the same network.
    store = Store(folder)
    ours, theirs = read(store, first), read(store, plain)
    assert (ours["test_probabilities"] == theirs["test_probabilities"]).all()
    assert {"train_probabilities"} <= ours.keys() - theirs.keys()
    assert first.metrics["train"]["n"] == first.environment["train_items"]


def test_each_round_is_trained_on_the_weights_of_samme(boosted: tuple[Path, Trained]) -> None:
    folder, done = boosted
    store = Store(folder)
    for number, built in enumerate(done.built):
        told = built.record.environment["ensemble"]
        weights, alphas = None, []
        for place, member in enumerate(members_of(folder, built.record)):
            spec = member.spec
            assert spec.seed == number + SEED_STEP * place
            assert spec.draw["round"] == place + 1
            answers = AnswerBook(store).of(member, "train")
            assert answers is not None
            if weights is None:
                assert "weights" not in spec.draw
                weights = np.ones(len(answers.labels))
            else:
                digest = spec.draw["weights"]
                assert spec.key["item_weights"] == digest
                stored = load(Path(spec.draw["file"]), digest, answers.ids)
                assert stored == pytest.approx(weights)
            _, alpha, weights = samme_step(answers.labels, answers.predicted, weights, 10)
            alphas.append(alpha)
        assert told["alphas"] == pytest.approx(alphas)
        assert len(alphas) == told["members"] >= 2


def test_rounds_stand_beside_their_ensemble(boosted: tuple[Path, Trained]) -> None:
    folder, done = boosted
    store = Store(folder)
    records = [record for record in store.records() if record.spec.draw or record.spec.members]
    [block] = leaderboard.build(records, store).blocks
    rows = {row.name: row.seeds for row in block.rows}
    assert rows["cnn3 (resample=weights, round=1)"] == 2
    assert rows["cnn3 (resample=weights, round=2)"] == 2
    assert [row.seeds for row in block.rows if row.members] == [2]
    assert all(": all 3 rounds are done" in note or "round" in note for note in done.notes)


def test_boosting_again_trains_nothing(boosted: tuple[Path, Trained]) -> None:
    folder, done = boosted
    watcher = Watcher()
    again = trained(folder, "boosting", 3, watcher, **LONGER)
    assert not watcher.started
    assert [b.record.id for b in again.built] == [b.record.id for b in done.built]
    assert not any(built.is_new for built in again.built)


def test_boosting_goes_on_where_it_was_stopped(boosted: tuple[Path, Trained]) -> None:
    folder, done = boosted
    last = members_of(folder, done.built[0].record)[-1]
    path = Store(folder).folder(last.id)
    before = read(Store(folder), last)
    (path / "record.json").unlink()
    (path / "predictions.npz").unlink()
    watcher = Watcher()
    again = trained(folder, "boosting", 3, watcher, **LONGER)
    assert [spec.id for spec in watcher.started] == [last.id]
    assert [b.record.id for b in again.built] == [b.record.id for b in done.built]
    after = read(Store(folder), last)
    assert (before["test_probabilities"] == after["test_probabilities"]).all()


@pytest.mark.parametrize("verb", ["show", "why"])
def test_rounds_are_shown_as_what_they_are(
    boosted: tuple[Path, Trained], verb: str, cli: Cli
) -> None:
    folder, done = boosted
    second = members_of(folder, done.built[0].record)[1]
    shown = cli(verb, second.id, "--results", folder)
    assert shown.code == 0
    assert "round 2 of boosting" in shown.out
    if verb == "why":
        assert "is reused" in shown.out


# When a course of boosting ends


def course(store: Store, rounds: int = 3) -> Course:
    return Course(write_run(store, "net").spec, rounds, Registry(), store)


def ended(record: RunRecord) -> Callable[[RunSpec], RunRecord]:
    return lambda spec: record


def on_train(labels: Any, predicted: Any) -> dict[str, Any]:
    labels = np.asarray(labels)
    return {
        "train_ids": np.arange(len(labels)),
        "train_labels": labels,
        "train_predicted": np.asarray(predicted),
        "train_probabilities": np.full((len(labels), 3), 1 / 3, np.float16),
    }


LABELS = np.arange(60) % 3


@pytest.mark.parametrize(
    ("stored", "said", "kept"),
    [
        (on_train(LABELS, np.zeros(60, int)), "no better than guessing among 3 classes", 0),
        (on_train(LABELS, (LABELS + 1) % 3), "error of 100.0%", 0),
        (on_train(LABELS, LABELS), "makes no error", 1),
        ({}, "missing or damaged", 0),
        (on_train(LABELS, LABELS[:9]), "train predictions", 0),
    ],
)
def test_a_course_ends(tmp_path: Path, stored: dict[str, Any], said: str, kept: int) -> None:
    store = Store(tmp_path)
    begun = course(store)
    record = write_run(store, "net", stored=stored)
    assert list(begun.follow(ended(record))) == []
    assert said in begun.over
    assert len(begun.members) == len(begun.alphas) == kept


def test_a_round_that_fails_ends_its_course(tmp_path: Path) -> None:
    store = Store(tmp_path)
    begun = course(store)
    failed = dataclasses.replace(write_run(store, "net"), status=RunStatus.OOM)
    assert list(begun.follow(ended(failed))) == []
    assert begun.over == "round 1 ended as `oom`"


def test_labels_are_not_boosted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    begun = course(store)
    record = write_run(store, "net", stored=on_train(np.eye(3, dtype=int), np.eye(3, dtype=int)))
    record = dataclasses.replace(record, environment={**record.environment, "task": "multi-label"})
    list(begun.follow(ended(record)))
    assert "bagging" in begun.over


def test_a_course_waits_for_what_has_not_ended(tmp_path: Path) -> None:
    begun = course(Store(tmp_path))
    assert list(begun.follow(lambda spec: None)) == []
    assert not begun.over


def test_what_is_done_anew_is_not_settled(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = write_run(store, "net", stored=on_train(LABELS, LABELS))
    assert Boosting(3, Registry(), store, rerun=False).settled([record.spec]) == []
    assert Boosting(3, Registry(), store, rerun=True).settled([record.spec]) is None


# What users ask for


def test_draws_belong_to_a_run(tmp_path: Path, experiment: Callable[..., Result]) -> None:
    def specs(**values: Any) -> list[RunSpec]:
        config = ExperimentConfig.create({**DIGITS, "results": tmp_path, **values})
        return [run.spec for run in prepare(config, load_registry())[1]]

    [plain], [drawn] = specs(), specs(resample="bootstrap")
    assert plain.draw == {}
    assert "draw" not in plain.drawing
    assert drawn.method != plain.method
    assert drawn.cell != plain.cell
    assert drawn.protocol == plain.protocol  # so that both stand in one block
    command = command_of(drawn, load_registry())
    assert "--resample bootstrap" in command
    assert "--resample" not in command_of(plain, load_registry())
    assert RunSpec.from_dict(drawn.to_dict()) == drawn
