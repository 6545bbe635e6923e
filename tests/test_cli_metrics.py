"""Metrics on the command line: of leaderboards, of runs, and the thresholds that they suggest."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers_samples import sets, single, store_run
from conftest import Done
from samples import make_record, make_spec
from sklearn.metrics import f1_score

from bench import Metric, RunStatus, Task
from bench.rows import in_order
from bench.scoring import Measured
from bench.stats import Interval
from bench.store import Store

Cli = Callable[..., Done]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three methods: one of two seeds, one of one seed, and one that failed."""
    store = Store(tmp_path)
    for seed in range(2):
        store_run(store, single(120, seed=seed), model="twice", seed=seed)
    store_run(store, single(120, seed=7), model="once")
    failed = make_record(make_spec(model="broken"), status=RunStatus.OOM, error="no memory")
    store.folder(failed.id).mkdir(parents=True)
    store.write(failed)
    return store


def board(cli: Cli, store: Store, *words: Any) -> Any:
    done = cli("leaderboard", "--results", store.root, "--json", *words)
    assert done.code == 0, done.err
    return json.loads(done.out)


# Leaderboards


def test_metrics_stand_beside_the_score_with_their_intervals(cli: Cli, store: Store) -> None:
    found = board(cli, store, "--metrics", "f1_macro,ece:bins=5")
    rows = {row["model"]: row["metrics"] for row in found["rows"]}
    each = [single(120, seed=seed) for seed in range(2)]
    expected = np.mean([f1_score(a.labels, a.predicted, average="macro") for a in each])
    assert rows["twice"]["f1_macro"]["mean"] == pytest.approx(expected)
    assert rows["twice"]["f1_macro"]["noise"] == "seeds"
    assert rows["once"]["ece:bins=5"]["noise"] == "items"
    for name in ("f1_macro", "ece:bins=5"):
        interval = rows["once"][name]
        assert interval["low"] < interval["mean"] < interval["high"]
        assert interval["n"] == 120
    assert "f1_macro" not in rows["broken"]


def test_rows_are_sorted_by_any_metric_and_keep_their_ranks(cli: Cli, store: Store) -> None:
    usual = board(cli, store)
    assert {block["sorted_by"] for block in usual["blocks"]} == {"score"}
    ranks = {row["model"]: row["rank"] for row in usual["rows"]}
    for metric, lower in (("f1_macro", False), ("ece", True), ("brier", True)):
        found = board(cli, store, "--sort", metric)
        assert [block["sorted_by"] for block in found["blocks"]] == [metric]
        assert {row["model"]: row["rank"] for row in found["rows"]} == ranks
        assert found["rows"][-1]["model"] == "broken"
        means = [row["metrics"][metric]["mean"] for row in found["rows"][:-1]]
        assert means == sorted(means, reverse=not lower)


def test_tables_show_the_metrics_and_say_what_they_are_sorted_by(cli: Cli, store: Store) -> None:
    words = ("leaderboard", "--results", store.root, "--metrics", "f1_macro,matthews")
    for form in ("table", "md"):
        done = cli(*words, "--sort", "ece", "--format", form)
        for metric in ("f1_macro", "matthews", "ece"):
            assert metric in done.out.replace("\\_", "_")
        said = done.out.replace("\\_", "_")
        assert "Sorted by ece; ranks are those of the test accuracy." in " ".join(said.split())
    lines = [*csv.DictReader(io.StringIO(cli(*words, "--format", "csv").out))]
    assert {line["model"] for line in lines} == {"twice", "once", "broken"}
    by_model = {line["model"]: line for line in lines}
    once = by_model["once"]
    assert float(once["matthews_low"]) < float(once["matthews"]) < float(once["matthews_high"])
    assert by_model["broken"]["matthews"] == ""


def test_a_narrow_terminal_moves_metrics_below_and_drops_none(
    cli: Cli, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.terminal.PIPED_WIDTH", 100)
    names = ("f1_macro", "ece", "brier", "matthews", "roc_auc", "log_loss")
    done = cli("leaderboard", "--results", store.root, "--metrics", ",".join(names))
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 100
    heads = [line for line in lines if "rank" in line and "model" in line]
    assert len(heads) > 1
    for name in names:
        assert any(name in head.split() for head in heads), name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--metrics", "f1_marco"), "did you mean `f1_macro`"),
        (("--sort", "latency"), "no column and no metric `latency` (did you mean `latency_ms`?)"),
        (("--sort", "ecce"), "did you mean `ece`"),
        (("--metrics", "hamming_loss"), "is for `multi-label` tasks, and the runs here are"),
        (("--metrics", "ece:bins=x"), "'x' is no int"),
        (("--metrics", "top_k:k=0"), "`k` is 0; give 1 or more"),
        (("--sort", "accuracy_level_1"), "no column and no metric"),
    ],
)
def test_a_wrong_metric_is_one_line_and_exit_2(
    cli: Cli, store: Store, words: tuple[str, ...], message: str
) -> None:
    done = cli("leaderboard", "--results", store.root, *words)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert done.out == ""


def test_rows_whose_predictions_are_torn_have_a_dash_and_two_lines_why(
    cli: Cli, store: Store
) -> None:
    for record in store.records():
        if record.spec.model.name == "twice":
            (store.folder(record.id) / "predictions.npz").write_bytes(b"PK\x03\x04 torn")
    done = cli("leaderboard", "--results", store.root, "--metrics", "ece", "--sort", "ece")
    assert done.code == 0
    [named, warning] = done.err.strip().splitlines()
    assert "predictions.npz` cannot be read" in named
    assert warning.startswith("warning: no `ece` of runs ")
    assert "no test predictions that can be read" in warning
    rows = [line.split() for line in done.out.splitlines()]
    order = [row[1] for row in rows if len(row) > 2 and row[1] in ("once", "twice", "broken")]
    assert order == ["once", "twice", "broken"]


@pytest.mark.parametrize("lower", [False, True])
def test_rows_without_a_value_are_last_whichever_way_is_better(store: Store, lower: bool) -> None:
    from bench import leaderboard

    rows = leaderboard.build(store.records(), store).rows
    metric = Metric(name="m", compute=float, lower_is_better=lower)
    values = {"twice": 0.9, "once": 0.1, "broken": float("nan")}
    for row in rows:
        mean = values[row.model]
        row.asked = {"m": Measured(Interval(mean, mean, mean), "items", metric, 1)}
    best = ["once", "twice"] if lower else ["twice", "once"]
    assert [row.model for row in in_order(rows, "m")] == [*best, "broken"]
    for row in rows:
        if row.model == "broken":
            row.asked = {}
    assert [row.model for row in in_order(rows, "m")] == [*best, "broken"]


def test_an_empty_folder_has_no_metrics_and_no_error(cli: Cli, tmp_path: Path) -> None:
    done = cli("leaderboard", "--results", tmp_path / "none", "--metrics", "f1_macro")
    assert done.code == 0
    assert "no finished runs here yet" in done.out


def test_metrics_are_listed(cli: Cli) -> None:
    done = cli("list", "metrics", "--json")
    found = {row["name"]: row for row in json.loads(done.out)["metrics"]}
    assert found["top_k"]["params"] == {"k": 5}
    assert found["ece"]["lower_is_better"] is True
    assert found["hamming_loss"]["tasks"] == ["multi-label"]
    assert "lower is better" in cli("list", "metrics", "ece").out


# One run


def test_show_tells_of_classes_on_the_split_that_is_asked_for(cli: Cli, tmp_path: Path) -> None:
    store = Store(tmp_path)
    test, val = single(80), single(40, seed=1)
    record = store_run(store, test, val)
    words = ("show", record.id, "--results", store.root)
    for split, answers in (("test", test), ("val", val)):
        done = json.loads(cli(*words, "--json", "--split", split).out)["classes"]
        assert done["split"] == split
        assert sum(map(sum, done["confusion"])) == len(answers.ids)
        expected = f1_score(answers.labels, answers.predicted, average=None)
        assert [row["f1"] for row in done["per_class"]] == pytest.approx(expected)
    assert "test, by class" in cli(*words).out
    assert "val, by class" in cli(*words, "--split", "val").out


def test_show_without_predictions_says_so(cli: Cli, store: Store) -> None:
    record = next(r for r in store.records() if r.spec.model.name == "once")
    (store.folder(record.id) / "predictions.npz").unlink()
    done = cli("show", record.id, "--results", store.root)
    assert done.code == 0
    assert "no table of classes: it has no test predictions that can be read" in done.out
    plain = json.loads(cli("show", record.id, "--results", store.root, "--json").out)
    assert plain["classes"] == {"split": "test", "per_class": None, "confusion": None}


# Thresholds


def two_classes(store: Store) -> str:
    test, val = (single(300, 2, seed=seed, task=Task.BINARY) for seed in (3, 4))
    return store_run(store, test, val).id


def test_a_threshold_is_chosen_on_val_and_reported_on_test(cli: Cli, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = two_classes(store)
    done = cli("threshold", run, "--results", store.root, "--precision", "0.9", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert (found["run"], found["wish"], found["chosen_on"]) == (run, {"precision": 0.9}, "val")
    [point] = found["classes"]
    assert point["class"] == "bee"
    assert point["val"]["precision"]["mean"] >= 0.9
    test = single(300, 2, seed=3, task=Task.BINARY)
    assert test.probabilities is not None
    said = test.probabilities[:, 1].astype(float) >= point["threshold"]
    assert point["test"]["said"] == said.sum()
    assert point["test"]["found"] == (said & (test.labels == 1)).sum()
    for share in ("precision", "recall"):
        values = point["test"][share]
        assert values["low"] <= values["mean"] <= values["high"]
    assert point["as_run"]["test"]["said"] == test.predicted.sum()


@pytest.mark.parametrize("wish", ["--recall=0.95", "--cost=false-positive=1,false_negative=10"])
def test_a_table_shows_both_splits_beside_what_the_run_says(
    cli: Cli, tmp_path: Path, wish: str
) -> None:
    store = Store(tmp_path)
    done = cli("threshold", two_classes(store), "--results", store.root, wish)
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines() if line.startswith(("  val", "  test"))]
    assert [row[0] for row in rows] == ["val", "test", "val", "test"]
    assert [row[1] == "as" for row in rows] == [False, False, True, True]
    assert "of `bee`" in done.out
    assert max(map(len, done.out.splitlines())) <= 100
    assert "chosen on val (300 items), reported on test (300)" in done.out
    assert ("cost an item" in done.out) is wish.startswith("--cost")


def test_a_wish_that_test_does_not_meet_is_warned_of(cli: Cli, tmp_path: Path) -> None:
    store = Store(tmp_path)
    val, test = single(300, 2, task=Task.BINARY), single(300, 2, seed=1, task=Task.BINARY)
    assert test.probabilities is not None
    worse = dataclasses.replace(test, probabilities=test.probabilities[::-1].copy())
    run = store_run(store, worse, val).id
    words = ("threshold", run, "--results", store.root, "--precision", "0.9")
    done = cli(*words)
    assert done.code == 0
    assert "warning: `bee`: on test its precision is " in done.err
    assert "below the 90.0% that was wished for, which its interval does not reach" in done.err
    assert json.loads(cli(*words, "--json").out)["classes"][0]["met_on_test"] is False


def test_a_wish_that_val_cannot_reach_is_exit_3(cli: Cli, tmp_path: Path) -> None:
    store = Store(tmp_path)
    val = single(300, 2, task=Task.BINARY)
    hopeless = dataclasses.replace(val, probabilities=np.full((300, 2), 0.5, np.float16))
    run = store_run(store, val, hopeless).id
    words = ("threshold", run, "--results", store.root, "--precision", "0.99")
    done = cli(*words)
    assert done.code == 3
    assert "no threshold reaches a precision of 99.0% on val; the highest is" in done.out
    done = cli(*words, "--json")
    assert done.code == 3
    assert json.loads(done.out)["classes"][0]["threshold"] is None


def test_every_label_of_a_set_has_a_threshold_of_its_own(cli: Cli, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = store_run(store, sets(300), sets(300, seed=1)).id
    words = ("threshold", run, "--results", store.root, "--recall", "0.9", "--json")
    found = json.loads(cli(*words).out)["classes"]
    assert [point["class"] for point in found] == ["ant", "bee", "cat", "dog"]
    assert len({point["threshold"] for point in found}) > 1
    [one] = json.loads(cli(*words, "--class", "cat").out)["classes"]
    assert one == found[2]


def test_costs_of_all_classes_come_from_a_file(cli: Cli, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    run = store_run(store, single(200, 3), single(200, 3, seed=1)).id
    path = tmp_path / "costs.csv"
    path.write_text("truth,ant,bee,cat\nant,0,1,20\nbee,1,0,20\ncat,1,1,0\n")
    words = ("threshold", run, "--results", store.root, "--cost", path)
    found = json.loads(cli(*words, "--json").out)
    assert found["wish"]["costs"] == [[0, 1, 20], [1, 0, 20], [1, 1, 0]]
    assert found["helps_on_val"] is True
    assert found["val"]["least_cost"]["cost"]["mean"] < found["val"]["as_run"]["cost"]["mean"]
    assert found["test"]["least_cost"]["cost"]["n"] == 200
    done = cli(*words)
    assert done.code == 0
    assert "on val the decisions of the least expected cost are cheaper" in done.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "give one of `--precision`, `--recall`, `--cost`"),
        (("--precision", "0.9", "--recall", "0.9"), 2, "give one of"),
        (("--precision", "0"), 2, "--precision is 0; give a share above 0"),
        (("--recall", "nan"), 2, "--recall is nan"),
        (("--precision", "0.9"), 2, "the run has 4 classes; name one"),
        (("--precision", "0.9", "--class", "bea"), 2, "no class `bea` (did you mean `bee`?)"),
        (("--cost", "false_positive=1"), 2, "needs both"),
        (("--cost", "false_positive=0,false_negative=0"), 2, "one above 0"),
        (("--cost", "false_positive=1,false_positive=2"), 2, "`false_positive` is given twice"),
        (("--cost", "fp=1,fn=2"), 2, "`fp` is no price"),
        (("--cost", "false_positive=1,false_negative=-2"), 2, "numbers from 0 on"),
        (("--cost", "missing.csv"), 2, "cannot read the costs in `missing.csv`"),
        (("--cost", "missing.csv", "--class", "ant"), 2, "about all classes"),
    ],
)
def test_a_wrong_wish_is_one_line(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    store = Store(tmp_path)
    run = store_run(store, single(20), single(20)).id
    done = cli("threshold", run, "--results", store.root, *words)
    assert done.code == code
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize("how", ["gone", "torn", "without probabilities"])
def test_a_run_whose_predictions_do_not_serve_is_exit_3(cli: Cli, tmp_path: Path, how: str) -> None:
    store = Store(tmp_path)
    answers = single(20, 2, task=Task.BINARY)
    if how == "without probabilities":
        answers = dataclasses.replace(answers, probabilities=None)
    run = store_run(store, answers).id
    path = store.folder(run) / "predictions.npz"
    if how == "gone":
        path.unlink()
    if how == "torn":
        path.write_bytes(path.read_bytes()[:100])
    done = cli("threshold", run, "--results", store.root, "--recall", "0.9")
    assert done.code == 3
    assert len(done.err.strip().splitlines()) == 1
    assert "probabilities" in done.err or "no val predictions that can be read" in done.err


# Runs


def test_run_shows_the_metrics_in_its_closing_table(cli: Cli, tmp_path: Path) -> None:
    words = ("run", "--models", "tiny", "--datasets", "tiny", "--results", tmp_path)
    done = cli(*words, "--metrics", "f1_macro,hamming_loss")
    assert done.code == 0
    assert "f1_macro" in done.out
    assert "no `hamming_loss` of run" in done.err
    done = cli(*words, "--metrics", "f1_marco")
    assert done.code == 2
    assert "did you mean `f1_macro`" in done.err
