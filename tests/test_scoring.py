"""Metrics of stored runs: chosen, computed once, remembered, with intervals."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers_samples import NAMES, sets, single, store_run
from samples import add_plugin, make_record, make_spec
from sklearn.metrics import f1_score

import bench_metrics
from bench import (
    Answers,
    ConfigError,
    DataError,
    Metric,
    Task,
    UnknownNameError,
    UsageError,
    scoring,
)
from bench.answers import AnswerBook
from bench.index import NAME
from bench.registry import Registry
from bench.scoring import RESAMPLES, Scorer, Wanted, choose, item_interval, values
from bench.store import Store


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = Registry()
    add_plugin(registry, *bench_metrics.register_metrics(), name="bench_metrics")
    return registry


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def scorer(store: Store, registry: Registry, *names: str) -> Scorer:
    return Scorer(choose(names, registry), AnswerBook(store), store)


def first(answers: Answers, *, k: int = 1) -> float:
    return 1.0


def second(answers: Answers, *, k: int = 1) -> float:
    return 2.0


class Counted:
    """A metric that knows how often it was computed."""

    def __init__(self, value: Any = 0.5) -> None:
        self.calls = 0
        self.value = value

    def metric(self, **fields: Any) -> Metric:
        def compute(answers: Answers) -> Any:
            self.calls += 1
            if isinstance(self.value, Exception):
                raise self.value
            return self.value

        return Metric(name="counted", compute=compute, **fields)

    def wanted(self, **fields: Any) -> list[Wanted]:
        return [Wanted("counted", self.metric(**fields), "acme")]


# Choosing


def test_metrics_are_named_with_their_params(registry: Registry) -> None:
    f1, ece, again = choose(["f1_macro", "ece:bins=20", "f1_macro", "mcc"], registry)
    assert (f1.label, dict(f1.params)) == ("f1_macro", {})
    assert (ece.label, ece.metric.name, dict(ece.params)) == ("ece:bins=20", "ece", {"bins": 20})
    assert (again.label, again.metric.name) == ("mcc", "matthews")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("f1_marco", UnknownNameError, "did you mean `f1_macro`"),
        ("ece:bin=3", UnknownNameError, "no param `bin` .did you mean `bins`"),
        ("f1_macro:k=3", UnknownNameError, "no param `k`; it takes no params at all"),
        ("ece:bins", ConfigError, "params are written `ece:PARAM=VALUE`"),
        ("ece:bins=many", ConfigError, "'many' is no int"),
        ("ece:bins=1.5", ConfigError, "1.5 is no int"),
        ("", ConfigError, "no name is given"),
    ],
)
def test_a_wrong_name_or_param_is_one_line(
    registry: Registry, name: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        choose([name], registry)


# Values


def test_values_are_those_of_the_stored_predictions(store: Store, registry: Registry) -> None:
    answers, val = single(80), single(40, seed=1)
    record = store_run(store, answers, val)
    book = AnswerBook(store)
    found = values(record, ["f1_macro", "top_k:k=4"], book, store, registry)
    expected = f1_score(answers.labels, answers.predicted, average="macro")
    assert found == {"f1_macro": pytest.approx(expected), "top_k:k=4": 1}
    on_val = values(record, ["f1_macro"], book, store, registry, split="val")
    assert on_val["f1_macro"] == pytest.approx(f1_score(val.labels, val.predicted, average="macro"))


def test_a_value_is_computed_once_and_remembered(store: Store) -> None:
    record, counted = store_run(store, single()), Counted()
    for _ in range(3):
        fresh = Scorer(counted.wanted(), AnswerBook(store), store)
        assert fresh.value(record, fresh.wanted[0]) == 0.5
    assert counted.calls == 1


def test_what_can_change_a_value_makes_it_anew(store: Store) -> None:
    record = store_run(store, single())

    def key(record: Any = record, wanted: Any = None, split: str = "test") -> str:
        each = wanted or Wanted("x", Metric(name="x", compute=first), "acme", {"k": 1})
        return Scorer([each], AnswerBook(store), store)._key(record, each, split)

    before = key()
    assert key() == before
    assert key(split="val") != before
    assert key(wanted=Wanted("x", Metric(name="x", compute=first), "acme", {"k": 2})) != before
    assert key(wanted=Wanted("x", Metric(name="x", compute=second), "acme", {"k": 1})) != before
    assert key(dataclasses.replace(record, finished_at="2027-01-01T00:00:00+00:00")) != before
    path = store.folder(record.id) / "predictions.npz"
    os.utime(path, ns=(1, 1))
    assert key() != before


def test_many_runs_ask_the_index_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [store_run(store, single(seed=seed), seed=seed) for seed in range(6)]
    counted = Counted()
    first = Scorer(counted.wanted(), AnswerBook(store), store)
    first.read(records)
    asked = []
    recall = Store.recall

    def counting(self: Store, keys: Any) -> dict[str, str]:
        asked.append([*keys])
        return recall(self, asked[-1])

    monkeypatch.setattr(Store, "recall", counting)
    again = Scorer(counted.wanted(), AnswerBook(store), store)
    again.read(records)
    assert [again.value(record, again.wanted[0]) for record in records] == [0.5] * 6
    assert (len(asked), counted.calls) == (1, 6)


@pytest.mark.parametrize("damage", ["no JSON", "[", "[1, 2, 3]", '["a"]', "\0\0", "{}"])
def test_a_damaged_index_costs_time_and_no_more(store: Store, damage: str) -> None:
    record, counted = store_run(store, single()), Counted()
    first = Scorer(counted.wanted(), AnswerBook(store), store)
    key = first._key(record, first.wanted[0], "test")
    store.remember({key: damage, f"{key}:items": damage})
    assert first.value(record, first.wanted[0]) == 0.5
    assert first.measure([record])["counted"].interval.mean == 0.5
    (store.root / NAME).write_bytes(b"no database")
    other = Scorer(counted.wanted(), AnswerBook(store), store)
    assert other.value(record, other.wanted[0]) == 0.5


# What cannot be computed


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (ZeroDivisionError("x / 0"), "metric of plugin `acme` failed: ZeroDivisionError: x / 0"),
        (DataError("its depth is not stored"), "its depth is not stored"),
        (1.5, "gave 1.5, which is not in 0.0 to 1.0"),
        (math.inf, "gave inf"),
        ("many", "ValueError"),
        (None, "TypeError"),
        (math.nan, "leave it undefined"),
    ],
)
def test_a_metric_that_fails_is_a_note_and_no_value(store: Store, value: Any, said: str) -> None:
    record = store_run(store, single())
    counted = Counted(value)
    broken = Scorer(counted.wanted(), AnswerBook(store), store)
    assert math.isnan(broken.value(record, broken.wanted[0]))
    assert broken.measure([record]) == {}
    [note] = broken.notes
    assert note.startswith(f"no `counted` of run `{record.id}`: ")
    assert said in note
    assert "\n" not in note


def test_an_impossible_param_is_an_error_and_no_note(store: Store, registry: Registry) -> None:
    record = store_run(store, single())
    with pytest.raises(ConfigError, match="`k` is 0; give 1 or more"):
        scorer(store, registry, "top_k:k=0").measure([record])


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "zeros":
        path.write_bytes(content[:60] + bytes(len(content) - 120) + content[-60:])
    else:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        arrays |= {
            "short": {"test_labels": arrays["test_labels"][:-1]},
            "wide": {"test_probabilities": arrays["test_probabilities"][:, :-1]},
            "beyond": {"test_labels": arrays["test_labels"] + 9},
            "negative": {"test_predicted": arrays["test_predicted"] - 5},
            "text": {"test_labels": arrays["test_labels"].astype(str)},
            "object": {"test_labels": np.array([{}] * len(arrays["test_labels"]))},
            "nan": {"test_probabilities": arrays["test_probabilities"] * np.nan},
            "none": {f"test_{name}": np.zeros(0, int) for name in ("ids", "labels", "predicted")},
        }[how]
        np.savez_compressed(path, **arrays)


@pytest.mark.parametrize(
    "how",
    [
        *("gone", "folder", "cut", "empty", "zeros", "short", "wide", "beyond", "negative"),
        *("text", "object", "nan", "none"),
    ],
)
def test_damaged_predictions_are_a_note(store: Store, registry: Registry, how: str) -> None:
    record = store_run(store, single())
    damaged(store.folder(record.id) / "predictions.npz", how)
    found = scorer(store, registry, "f1_macro", "ece")
    assert found.measure([record]) == {}
    assert found.notes[0].endswith("it has no test predictions that can be read")


@pytest.mark.parametrize("byte", range(0, 2000, 97))
def test_a_flipped_byte_never_escapes(store: Store, registry: Registry, byte: int) -> None:
    record = store_run(store, single(20))
    path = store.folder(record.id) / "predictions.npz"
    content = bytearray(path.read_bytes())
    content[byte % len(content)] ^= 0xFF
    path.write_bytes(content)
    values(record, ["f1_macro", "log_loss", "roc_auc"], AnswerBook(store), store, registry)


def test_hostile_class_names_are_names(store: Store, registry: Registry) -> None:
    names = ("<script>", "=cmd|' /C calc'!A0", "[red]\x1b[31m", "a\nb")
    record = store_run(store, single(names=names))
    book = AnswerBook(store)
    answers = book.of(record)
    assert answers is not None
    assert answers.names == names
    assert math.isfinite(values(record, ["f1_macro"], book, store, registry)["f1_macro"])


def test_old_records_of_trees_say_that_they_lack_the_tree(store: Store, registry: Registry) -> None:
    record = store_run(store, single(task=Task.HIERARCHICAL), environment={"taxonomy": None})
    found = scorer(store, registry, "tree_distance", "f1_macro")
    assert [*found.measure([record])] == ["f1_macro"]
    [note] = found.notes
    assert "lacks the tree of its classes; `--rerun` adds it" in note


def test_a_metric_that_does_not_suit_is_no_value_where_others_have_one(
    store: Store, registry: Registry
) -> None:
    one, several = store_run(store, single()), store_run(store, sets(), seed=1)
    found = scorer(store, registry, "hamming_loss")
    found.check_suits([one, several])
    assert math.isnan(found.value(one, found.wanted[0]))
    assert math.isfinite(found.value(several, found.wanted[0]))
    assert found.notes == [f"no `hamming_loss` of run `{one.id}`: it is a multi-class task"]
    with pytest.raises(UsageError, match="`hamming_loss` is for `multi-label` tasks"):
        found.check_suits([one])
    found.check_suits([])  # of no runs there is nothing to say


# Intervals


def test_several_seeds_give_the_interval_of_seeds(store: Store, registry: Registry) -> None:
    runs = [store_run(store, single(seed=seed), seed=seed) for seed in range(3)]
    found = scorer(store, registry, "f1_macro")
    measured = found.measure(runs)["f1_macro"]
    each = [found.value(record, found.wanted[0]) for record in runs]
    assert (measured.noise, measured.runs) == ("seeds", 3)
    assert measured.interval.mean == pytest.approx(np.mean(each))
    assert 0 <= measured.interval.low < min(each) or measured.interval.low < np.mean(each)
    assert measured.interval.high <= 1


def test_one_seed_gives_the_interval_of_items(store: Store, registry: Registry) -> None:
    record = store_run(store, single(200))
    names = ("accuracy", "log_loss", "f1_macro", "matthews")
    measured = scorer(store, registry, *names).measure([record])
    assert {each.noise for each in measured.values()} == {"items"}
    for each in measured.values():
        assert each.interval.low < each.interval.mean < each.interval.high
    again = scorer(store, registry, *names).measure([record])
    assert {n: m.interval for n, m in again.items()} == {n: m.interval for n, m in measured.items()}


def test_a_mean_over_items_and_its_bootstrap_agree(registry: Registry) -> None:
    """The standard error of 100 resamples is that of the mean within a fifth."""
    answers = single(400)
    [wanted] = choose(["log_loss"], registry)
    value = scoring.compute(answers, wanted)
    exact = item_interval(answers, wanted, value)
    metric = wanted.metric
    resampled = dataclasses.replace(
        metric, compute=lambda answers: float(metric.per_item(answers).mean()), per_item=None
    )
    found = item_interval(answers, dataclasses.replace(wanted, metric=resampled), value)
    assert found.high - found.low == pytest.approx(exact.high - exact.low, rel=0.2)
    assert found.mean == exact.mean == value


def test_the_interval_of_a_metric_that_resamples_leave_undefined_is_its_range() -> None:
    answers = single(20)

    def brittle(answers: Answers) -> float:
        if len(np.unique(answers.ids)) < len(answers.ids):
            raise DataError("an item comes twice")
        return 0.4

    wanted = Wanted("brittle", Metric(name="brittle", compute=brittle), "acme")
    interval = item_interval(answers, wanted, 0.4)
    assert (interval.low, interval.high) == (0, 1)


def test_a_resample_knows_classes_that_it_lacks() -> None:
    seen = []

    def width(answers: Answers) -> float:
        seen.append(len(answers.names))
        return 0.5

    answers = dataclasses.replace(single(8, 5), classes=(), probabilities=None)
    item_interval(answers, Wanted("w", Metric(name="w", compute=width), "acme"), 0.5)
    assert seen == [len(answers.names)] * RESAMPLES


@pytest.mark.slow
def test_item_intervals_cover_the_truth(registry: Registry) -> None:
    """Of 200 test sets, the 95 % interval of macro F1 holds the value on a very large set."""
    [wanted] = choose(["f1_macro"], registry)
    truth = scoring.compute(single(200_000, seed=99), wanted)
    held = 0
    for seed in range(200):
        answers = single(400, seed=seed)
        interval = item_interval(answers, wanted, scoring.compute(answers, wanted))
        held += interval.low <= truth <= interval.high
    assert held >= 180  # 95 % of 200, less three standard errors


def test_a_failed_run_has_no_metrics_and_breaks_none(store: Store, registry: Registry) -> None:
    record = make_record(make_spec(seed=3))
    found = scorer(store, registry, "f1_macro")
    assert math.isnan(found.value(record, found.wanted[0]))


def test_the_names_of_classes_count_as_far_as_they_are_known() -> None:
    answers = dataclasses.replace(single(20, 3), classes=())
    assert answers.names == ("0", "1", "2")
    assert single(20, 3).names == NAMES[:3]
