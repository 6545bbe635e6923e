from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Done
from ensemble_samples import CLASSES, permute_test_labels, read, write_run
from samples import make_record, make_spec
from test_light import probe

from bench import ensembles, leaderboard, members, metrics, tables
from bench.answers import AnswerBook
from bench.ensembles import VOTES, Recipe
from bench.errors import BenchError, StoreError, UnknownNameError, UsageError
from bench.records import Purpose, RunRecord, RunStatus
from bench.specs import Task
from bench.store import Store, prune_weights

Cli = Callable[..., Done]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def three(store: Store, seed: int = 0) -> list[RunRecord]:
    skills = {"ant-net": 0.4, "bee-net": 1.0, "cat-net": 1.6}
    return [write_run(store, model, seed, skill) for model, skill in skills.items()]


def made(store: Store, runs: list[RunRecord], how: str = "soft", **options: Any) -> RunRecord:
    return ensembles.build(runs, Recipe(how, options), store, AnswerBook(store)).record


# What is kept


@pytest.mark.parametrize("how", VOTES)
def test_an_ensemble_is_a_run_like_any_other(store: Store, how: str) -> None:
    runs = three(store)
    record = made(store, runs, how)
    assert Store(store.root).read(record.id) == store.read(record.id) is not None
    assert record.spec.members == tuple(run.id for run in runs)
    arrays = read(store, record)
    assert arrays["test_probabilities"].dtype == np.float16
    for split in ("val", "test"):
        stored = [arrays[f"{split}_{part}"] for part in ("labels", "predicted", "probabilities")]
        # Anybody can compute the metrics again.
        again = metrics.compute(Task.MULTI_CLASS, *stored, CLASSES)
        assert record.metrics[split] == again
        assert arrays[f"{split}_ids"].tolist() == read(store, runs[0])[f"{split}_ids"].tolist()
    answers = AnswerBook(store).of(record)
    assert answers is not None
    assert answers.classes == CLASSES


def test_soft_voting_stores_the_mean_of_what_is_stored(store: Store) -> None:
    runs = three(store)
    arrays = read(store, made(store, runs))
    each = [read(store, run)["test_probabilities"].astype(np.float64) for run in runs]
    assert arrays["test_probabilities"] == pytest.approx(np.mean(each, 0), abs=1e-3)
    assert (arrays["test_predicted"] == np.mean(each, 0).argmax(1)).all()


def test_costs_are_sums_over_the_members_that_count(store: Store) -> None:
    runs = three(store)
    record = made(store, runs)
    assert record.timing == {"train_seconds": 6.0, "wall_seconds": 9.0}
    wanted = {"parameters": 3 * 1234, "flops": 3 * 5678, "latency_ms": 4.5, "input_size": 8}
    assert record.profile == wanted
    chosen = made(store, runs, "greedy", steps=1)
    assert chosen.environment["ensemble"]["members"] == 1
    assert chosen.timing["train_seconds"] == 2.0
    unknown = dataclasses.replace(runs[0], profile={"parameters": 5})
    assert "latency_ms" not in made(store, [unknown, *runs[1:]], "hard").profile


def test_the_same_again_is_there_already(store: Store) -> None:
    runs = three(store)
    book = AnswerBook(store)
    first = ensembles.build(runs, Recipe("greedy"), store, book)
    again = ensembles.build(runs, Recipe("greedy"), store, AnswerBook(store))
    assert (first.is_new, again.is_new) == (True, False)
    assert again.record == first.record
    others = [Recipe("soft"), Recipe("greedy", {"steps": 3}), Recipe("greedy", name="mine")]
    ids = {ensembles.build(runs, recipe, store, book).record.id for recipe in others}
    ids.add(ensembles.build(runs[:2], Recipe("greedy"), store, book).record.id)
    assert len(ids | {first.record.id}) == 5
    # What has lost its predictions is built again.
    (store.folder(first.record.id) / "predictions.npz").unlink()
    assert ensembles.build(runs, Recipe("greedy"), store, AnswerBook(store)).is_new


# Chosen on val alone


@pytest.mark.parametrize("how", VOTES)
def test_labels_of_test_change_no_choice(tmp_path: Path, how: str) -> None:
    found = []
    for name, permuted in (("one", False), ("other", True)):
        store = Store(tmp_path / name)
        runs = three(store)
        for run in runs:
            if permuted:
                permute_test_labels(store, run)
        record = made(store, runs, how)
        arrays = read(store, record)
        told = {"val": record.metrics["val"], **record.environment["ensemble"]}
        found.append((told, arrays["test_probabilities"].tolist()))
        assert record.metrics["test"]["n"] == 60
    assert found[0] == found[1]


def test_it_is_said_which_val_scores_are_too_good(store: Store) -> None:
    runs = three(store)
    said = {how: made(store, runs, how).environment["ensemble"]["val_is"] for how in VOTES}
    assert said == {"soft": "", "hard": "", "greedy": "chosen on val", "stacking": "out of fold"}
    board = leaderboard.build(store.records(), store)
    cells = {row.model: tables.cells(row)["val"] for row in board.rows}
    assert [name for name, cell in cells.items() if cell.endswith("*")] == ["ensemble-greedy"]
    assert "too good" in tables.footnote(board.blocks[0])


# On the leaderboard


def test_an_ensemble_stands_in_the_block_of_its_members(store: Store) -> None:
    pins = {"pinned": {"batch_size": 64}, "protocol": {"batch_size": 1}}
    runs = [write_run(store, "a", skill=1.0), write_run(store, "b", skill=1.2, **pins)]
    made(store, runs)
    board = leaderboard.build(store.records(), store)
    [block] = board.blocks
    assert {row.name for row in block.rows} == {
        "a",
        "b (batch_size=1)",
        "ensemble-soft (2 members)",
    }
    row = next(row for row in block.rows if row.members)
    assert row.to_dict()["members"] == 2
    assert row.protocol["batch_size"] == 64
    assert row.rank is not None
    assert "members" in tables.to_csv(board).splitlines()[0]


def test_ensembles_of_several_seeds_are_one_row(store: Store) -> None:
    for seed in range(3):
        three(store, seed)
    groups = members.by_seed(members.candidates(store))
    assert [(seed, len(runs)) for seed, runs in groups] == [(0, 3), (1, 3), (2, 3)]
    for seed, runs in groups:
        ensembles.build(runs, Recipe("greedy"), store, AnswerBook(store), seed=seed)
    board = leaderboard.build(store.records(), store)
    [row] = [row for row in board.rows if row.members]
    assert (row.seeds, row.noise) == (3, "seeds")


def test_ensembles_of_different_members_are_told_apart(store: Store) -> None:
    runs = three(store)
    for chosen in (runs, runs[:2], [runs[0], runs[2]]):
        made(store, chosen)
    names = {row.name for row in leaderboard.build(store.records(), store).rows if row.members}
    assert names == {
        "ensemble-soft (3 members, of=ant-net+bee-net+cat-net)",
        "ensemble-soft (2 members, of=ant-net+bee-net)",
        "ensemble-soft (2 members, of=ant-net+cat-net)",
    }


def test_one_of_older_members_does_not_count_as_a_seed_of_the_newer(store: Store) -> None:
    old = [write_run(store, model, version="1.0") for model in "ab"]
    made(store, old)
    new = [write_run(store, model, version="2.0", seed=1) for model in "ab"]
    ensembles.build(new, Recipe("soft"), store, AnswerBook(store), seed=1)
    [row] = [r for r in leaderboard.build(store.records(), store).rows if r.members]
    assert [record.spec.seed for record in row.records] == [1]


def test_a_record_of_an_earlier_version_is_a_member_like_any(store: Store) -> None:
    runs = three(store)
    for run in runs:
        path = store.folder(run.id) / "record.json"
        told = json.loads(path.read_text())
        del told["members"], told["draw"]
        path.write_text(json.dumps(told))
    assert members.candidates(store) == sorted(runs, key=lambda run: run.spec.model.name)


@pytest.mark.parametrize("told", [None, "x", [], {"members": "x", "weights": 3, "val_is": []}])
def test_what_others_wrote_of_an_ensemble_breaks_no_reader(
    store: Store, told: Any, cli: Cli
) -> None:
    record = made(store, three(store))
    path = store.folder(record.id) / "record.json"
    written = json.loads(path.read_text())
    written["environment"]["ensemble"] = told
    path.write_text(json.dumps(written))
    assert leaderboard.build(store.records(), store).rows
    assert cli("show", record.id, "--results", store.root).code == 0


# Which runs, and of which seeds


def test_candidates_are_what_a_leaderboard_ranks(store: Store) -> None:
    runs = three(store)
    write_run(store, "drawn", draw={"resample": "bootstrap"})
    made(store, runs)
    store.write(make_record(make_spec("broken"), status=RunStatus.OOM, error="too big"))
    store.write(make_record(make_spec("tried", purpose=Purpose.TRIAL)))
    assert members.candidates(store) == runs
    assert members.candidates(store, ["bee*"]) == [runs[1]]
    assert members.candidates(store, [runs[2].id[:8], "ant-net", "a*"]) == [runs[0], runs[2]]
    assert members.candidates(store, models=["*e-net", "cat*"]) == runs[1:]
    assert members.candidates(store, optimizers=["adamw"], datasets=["sha*"]) == runs


def test_members_of_bagging_are_taken_by_their_ids(store: Store) -> None:
    drawn = write_run(store, "drawn", draw={"resample": "bootstrap"})
    assert members.candidates(store, [drawn.id]) == [drawn]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"patterns": ["bee-nat"]}, "did you mean `bee-net`"),
        ({"models": ["zzz"]}, "`--models zzz` fits no finished run"),
        ({"optimizers": ["adamv"]}, "did you mean `adamw`"),
        ({"datasets": [""]}, "fits no finished run"),
    ],
)
def test_what_fits_nothing_is_named(store: Store, asked: dict[str, Any], said: str) -> None:
    three(store)
    with pytest.raises(UnknownNameError, match=said):
        members.candidates(store, **asked)


def test_runs_that_cannot_be_members_are_refused_by_name(store: Store) -> None:
    whole = made(store, three(store))
    failed = make_record(make_spec("broken"), status=RunStatus.OOM, error="too big")
    tried = make_record(make_spec("tried", purpose=Purpose.TRIAL))
    for record, said in ((whole, "ensemble itself"), (failed, "`oom`"), (tried, "trial")):
        store.write(record)
        with pytest.raises(UsageError, match=f"{record.id}.*{said}"):
            members.candidates(store, [record.id])


def test_seeds_are_combined_together_where_there_is_one_method(store: Store) -> None:
    runs = [write_run(store, "net", seed) for seed in range(3)]
    assert members.by_seed(runs) == [(0, runs)]
    with pytest.raises(UsageError, match="one method only"):
        members.by_seed(runs, "apart")
    with pytest.raises(UsageError, match=f"only run `{runs[0].id}`"):
        members.by_seed(runs[:1])


def test_seeds_that_differ_are_not_kept_apart(store: Store) -> None:
    runs = [write_run(store, "a", seed) for seed in range(3)]
    runs += [write_run(store, "b", seed) for seed in range(2)]
    assert members.by_seed(runs) == [(0, runs)]
    with pytest.raises(UsageError, match="a with adamw has 0, 1, 2 while b with adamw has 0, 1"):
        members.by_seed(runs, "apart")


# Runs that do not go together, and damaged ones


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"dataset": "other"}, "`dataset`"),
        ({"fingerprint": "beef" * 8}, "`content`"),
        ({"protocol": {"epochs": 3}}, "`epochs` (10 and 3)"),
    ],
)
def test_runs_of_different_blocks_are_refused_by_name(
    store: Store, other: dict[str, Any], said: str
) -> None:
    runs = [write_run(store, "a"), write_run(store, "b", **other)]
    with pytest.raises(UsageError) as caught:
        made(store, runs)
    message = str(caught.value)
    assert all(run.id in message for run in runs)
    assert said in message
    assert "\n" not in message


def test_runs_with_other_test_items_are_refused_by_name(store: Store) -> None:
    runs = [write_run(store, "a"), write_run(store, "b", ids=range(7, 67))]
    with pytest.raises(UsageError, match=f"{runs[0].id}.*{runs[1].id}.*different test items"):
        made(store, runs)


@pytest.mark.parametrize("how", VOTES)
@pytest.mark.parametrize(
    "stored",
    [
        {"val_probabilities": np.full((60, 3), np.nan, np.float16)},
        {"val_probabilities": np.zeros((60, 4), np.float16)},
        {"val_probabilities": np.zeros(60, np.float16)},
        {"val_labels": np.arange(60)},
        {"val_predicted": np.full(60, -1)},
        {"val_predicted": np.zeros(59, np.int32)},
        {"test_labels": np.zeros((60, 3))},
        {"val_labels": np.array(["x"] * 60)},
        {"test_ids": np.empty(0)},
    ],
    ids=lambda stored: next(iter(stored)),
)
def test_predictions_of_wrong_shape_are_refused(
    store: Store, stored: dict[str, Any], how: str
) -> None:
    runs = [write_run(store, "a"), write_run(store, "b", stored=stored)]
    with pytest.raises(BenchError) as caught:
        made(store, runs, how)
    assert runs[1].id in str(caught.value)
    assert not [r for r in store.records() if r.spec.members]


def test_predictions_cut_anywhere_are_refused(store: Store) -> None:
    runs = [write_run(store, "a", n=12), write_run(store, "b", n=12)]
    path = store.folder(runs[1].id) / "predictions.npz"
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(StoreError, match=f"{runs[1].id}.*missing or damaged"):
            made(store, runs)
    path.unlink()
    with pytest.raises(StoreError, match="missing or damaged"):
        made(store, runs)


def test_a_folder_that_cannot_be_written_costs_one_line(store: Store, tmp_path: Path) -> None:
    runs = three(store)
    spec = made(store, runs).spec
    shutil.rmtree(store.folder(spec.id))
    store.folder(spec.id).write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        made(store, runs)


@pytest.mark.parametrize("name", ["", "a b", "<b>", "-x", "x" * 61, "=cmd", "a/b"])
def test_names_are_plain_words(name: str) -> None:
    with pytest.raises(UsageError, match="letters"):
        Recipe("soft", name=name)


# Tasks of several labels, and trees


def test_labels_are_combined_one_by_one(store: Store) -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, (50, 3)).astype(np.uint8)
    runs = []
    for model in "ab":
        said = np.clip(0.3 + 0.4 * truth + generator.normal(0, 0.2, truth.shape), 0, 1)
        arrays = {
            f"{split}_{name}": value
            for split in ("val", "test")
            for name, value in {
                "ids": np.arange(50),
                "labels": truth,
                "predicted": (said >= 0.5).astype(np.uint8),
                "probabilities": said.astype(np.float32),
            }.items()
        }
        run = write_run(store, model, stored=arrays, protocol={"threshold": "val"})
        environment = {**run.environment, "task": "multi-label"}
        scored = {"mean_average_precision": 0.5, "n": 50}
        run = dataclasses.replace(
            run, environment=environment, metrics={"val": scored, "test": scored}
        )
        store.write(run)
        runs.append(run)
    for how in VOTES:
        record = made(store, runs, how)
        stored = read(store, record)
        assert stored["test_probabilities"].dtype == np.float32
        assert stored["test_predicted"].shape == (50, 3)
        assert 0 < record.environment["threshold"] < 1
        assert record.metrics["test"]["mean_average_precision"] > 0.8


def test_a_tree_that_is_known_has_its_levels(store: Store) -> None:
    runs = []
    for model in "ab":
        run = write_run(store, model)
        tree = [["x", "ant"], ["x", "bee"], ["y", "cat"]]
        environment = {**run.environment, "task": "hierarchical", "taxonomy": tree}
        runs.append(dataclasses.replace(run, environment=environment))
        store.write(runs[-1])
    assert {"accuracy_level_1", "accuracy_level_2"} <= made(store, runs).metrics["test"].keys()
    bare = [dataclasses.replace(r, environment={**r.environment, "taxonomy": None}) for r in runs]
    for run in bare:
        store.write(run)
    assert "accuracy_level_1" not in made(store, bare, "hard").metrics["test"]


# Who else reads records


def test_verbs_that_read_runs_read_ensembles(store: Store, cli: Cli) -> None:
    runs = three(store)
    record = made(store, runs, "greedy")
    results = ("--results", store.root)
    shown = cli("show", record.id, *results)
    assert shown.code == 0
    assert all(run.id in shown.out for run in runs)
    assert "weight" in shown.out
    told = json.loads(cli("show", record.id, *results, "--json").out)
    assert told["members"] == [run.id for run in runs]
    why = cli("why", record.id, *results)
    assert (why.code, "is reused" in why.out) == (0, True)
    shutil.rmtree(store.folder(runs[1].id))
    gone = cli("why", record.id, *results)
    assert runs[1].id in gone.out
    assert "no longer there" in cli("show", record.id, *results).out
    assert "ensemble of 3 runs" in cli("list", "runs", *results).out
    assert cli("leaderboard", *results, "--format", "md").code == 0
    prune_weights(store, {record.spec.method, runs[0].spec.method})
    assert store.read(record.id) is not None


def test_the_command_builds_and_says_what_it_is_worth(store: Store, cli: Cli) -> None:
    for seed in range(2):
        three(store, seed)
    done = cli("ensemble", "--how", "soft", "--results", store.root, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["schema"] == 1
    assert [each["new"] for each in told["ensembles"]] == [True, True]
    assert "best member on val, cat-net with adamw" in told["verdicts"][0]
    assert (store.root / "leaderboard.md").exists()
    again = cli("ensemble", "--results", store.root)
    assert again.code == 0
    assert again.err.count("already there: ensemble-soft of 3 runs") == 2
    assert "ensemble-soft (3 members)" in again.out
    deep = cli("ensemble", "cat-net", "--name", "deep", "--results", store.root)
    assert "built deep of 2 runs, seed 0" in deep.err


@pytest.mark.parametrize("how", ["soft", "greedy"])
def test_combining_imports_nothing_heavy(store: Store, how: str) -> None:
    three(store)
    code, heavy, _ = probe("ensemble", "--how", how, "--results", str(store.root), "--json")
    assert (code, heavy) == (0, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--epochs", "3"), "`--epochs` does nothing here"),
        (("--steps", "3"), "`--steps` does nothing here; it is for greedy"),
        (("--members", "3"), "`--members` does nothing here"),
        (("--seeds", "3"), "it is `apart` or `together`"),
        (("--how", "bagging", "cnn"), "name models by `--models`"),
        (("--how", "bagging", "--models", "tiny", "--tune", "3"), "tune first"),
        (("--how", "bagging", "--models", "tiny", "--seeds", "apart"), "seeds"),
        (("--how", "boosting"), "no model is chosen"),
        (("--how", "sof"), "'soft'"),
        ((), "no finished run"),
    ],
)
def test_what_makes_no_sense_costs_one_line(
    tmp_path: Path, cli: Cli, words: tuple[str, ...], said: str
) -> None:
    done = cli("ensemble", *words, "--results", tmp_path)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
