"""Operating points: chosen on val, against scikit-learn's curves and by trying all thresholds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from answers_samples import NAMES, sets, single
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from bench import ConfigError, DataError, Task, costs, thresholds
from bench.stats import wilson
from bench.thresholds import Outcome, Wish, at, best, choose

items = st.lists(
    st.tuples(st.booleans(), st.integers(0, 8).map(lambda n: n / 8)), min_size=1, max_size=40
)
shares = st.sampled_from([0.05, 0.3, 0.5, 0.75, 0.9, 1.0])
often = settings(deadline=None, max_examples=200)


def arrays(drawn: list[tuple[bool, float]]) -> tuple[thresholds.Truth, thresholds.Scores]:
    truth, scores = zip(*drawn, strict=True)
    return np.array(truth), np.array(scores)


# The best threshold


@given(items, shares)
@often
def test_the_highest_recall_at_a_precision_is_that_of_scikit_learns_curve(
    drawn: list[tuple[bool, float]], least: float
) -> None:
    truth, scores = arrays(drawn)
    found = best(Wish("precision", least), truth, scores)
    if not truth.any():
        assert found is None
        return
    precision, recall, _ = precision_recall_curve(truth, scores)
    fits = precision[:-1] >= least  # the last point is that of saying nothing
    if not fits.any():
        assert found is None
        return
    assert found is not None
    outcome = at(found, truth, scores)
    assert outcome.meets(Wish("precision", least))
    assert outcome.found / outcome.positives == pytest.approx(recall[:-1][fits].max())
    alike = fits & (recall[:-1] == recall[:-1][fits].max())
    assert outcome.found / outcome.said == pytest.approx(precision[:-1][alike].max())


@given(items, shares)
@often
def test_the_highest_precision_at_a_recall_is_that_of_scikit_learns_curve(
    drawn: list[tuple[bool, float]], least: float
) -> None:
    truth, scores = arrays(drawn)
    found = best(Wish("recall", least), truth, scores)
    if not truth.any():
        assert found is None
        return
    assert found is not None  # saying all finds all
    precision, recall, _ = precision_recall_curve(truth, scores)
    fits = recall[:-1] >= least
    outcome = at(found, truth, scores)
    assert outcome.meets(Wish("recall", least))
    assert outcome.found / outcome.said == pytest.approx(precision[:-1][fits].max())


@given(items, st.integers(0, 5), st.integers(0, 5))
@often
def test_no_threshold_costs_less(drawn: list[tuple[bool, float]], wrong: int, missed: int) -> None:
    if not wrong + missed:
        return
    truth, scores = arrays(drawn)
    wish = Wish("cost", 0, wrong, missed)
    found = best(wish, truth, scores)
    assert found is not None
    tried = [at(threshold, truth, scores).cost(wish).mean for threshold in [*scores, 2.0]]
    assert at(found, truth, scores).cost(wish).mean == pytest.approx(min(tried))


@given(items, shares, st.sampled_from(["precision", "recall", "cost"]))
@often
def test_a_threshold_lies_apart_from_the_scores_below_it(
    drawn: list[tuple[bool, float]], least: float, kind: str
) -> None:
    """Probabilities that were rounded when they were stored then fall on the same side."""
    truth, scores = arrays(drawn)
    found = best(Wish(kind, least), truth, scores)  # type: ignore[arg-type]
    if found is not None:
        assert 0 <= found <= 1.0000001
        if found <= 1:  # beyond it nothing is said, be it as likely as it may
            assert not ((scores < found) & (scores > found - 0.01)).any()
        assert at(found, truth, scores) == at(found, truth, scores + 1e-4 * (scores < 1))


def test_where_saying_nothing_is_cheapest_nothing_is_said() -> None:
    truth, scores = np.array([True, False]), np.array([1.0, 1.0])
    wish = Wish("cost", 0, 10, 1)
    found = best(wish, truth, scores)
    assert found is not None
    assert at(found, truth, scores).said == 0
    assert at(found, truth, scores).precision is None


# Outcomes


def test_shares_stand_with_wilsons_interval() -> None:
    outcome = Outcome(found=8, said=10, positives=16, n=100)
    assert outcome.precision == wilson(8, 10)
    assert outcome.recall == wilson(8, 16)
    cost = outcome.cost(Wish("cost", 0, 1, 10))
    each = np.repeat([1.0, 10.0, 0.0], [2, 8, 90])
    assert cost.mean == pytest.approx(0.82)
    half = 1.959964 * each.std(ddof=1) / 10
    assert (cost.low, cost.high) == pytest.approx((0.82 - half, 0.82 + half), abs=1e-6)


# Val chooses, test reports


def test_test_has_no_say_in_the_choice() -> None:
    val, test = single(200, 2, task=Task.BINARY), single(200, 2, seed=5, task=Task.BINARY)
    wish = Wish("precision", 0.9)
    point = choose(wish, 1, val, test, "bee")
    for seed in range(20):
        other = single(50, 2, seed=100 + seed, task=Task.BINARY)
        assert choose(wish, 1, val, other, "bee").threshold == point.threshold
    assert choose(wish, 1, val, None, "bee").threshold == point.threshold
    assert {*point.outcomes} == {*point.usual} == {"val", "test"}
    assert point.outcomes["val"].meets(wish)
    assert point.usual["test"].said == (test.predicted == 1).sum()


def test_a_label_of_sets_is_chosen_for_alone() -> None:
    val = sets(200)
    assert val.probabilities is not None
    point = choose(Wish("recall", 0.9), 2, val, None, "cat")
    assert point.threshold is not None
    found = (val.probabilities[:, 2] >= point.threshold) & (val.labels[:, 2] == 1)
    assert point.outcomes["val"].found == found.sum()
    assert point.usual["val"].said == val.predicted[:, 2].sum()


def test_what_val_cannot_reach_is_said_with_what_it_can() -> None:
    val = dataclasses.replace(
        single(4, 2, task=Task.BINARY),
        labels=np.array([0, 1, 0, 1]),
        probabilities=np.array([[0.1, 0.9], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]]),
    )
    point = choose(Wish("precision", 0.9), 1, val, val, "bee")
    assert point.threshold is None
    assert point.outcomes == {}
    assert "no threshold reaches a precision of 90.0% on val; the highest is 50.0%" in point.why_not
    empty = dataclasses.replace(val, labels=np.zeros(4, int))
    assert choose(Wish("recall", 0.5), 1, empty, None, "bee").why_not == "no item of val has it"


def test_without_probabilities_there_are_no_thresholds() -> None:
    answers = dataclasses.replace(single(), probabilities=None)
    with pytest.raises(DataError, match="probabilities of the run are not stored"):
        choose(Wish("recall", 0.5), 1, answers, None, "bee")
    with pytest.raises(DataError, match="costs have no expectation"):
        costs.least(answers, np.ones((4, 4)))


# Costs of all classes


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_the_least_expected_cost_is_the_least_of_all(seed: int) -> None:
    answers = single(20, 4, seed)
    assert answers.probabilities is not None
    prices = np.random.default_rng(seed).random((4, 4))
    chosen = costs.least(answers, prices)
    exact = answers.probabilities.astype(float)
    for item, said in enumerate(chosen):
        expected = [sum(exact[item, t] * prices[t, c] for t in range(4)) for c in range(4)]
        assert expected[said] == pytest.approx(min(expected))
    assert costs.paid(answers, chosen, prices).tolist() == [
        prices[t, c] for t, c in zip(answers.labels, chosen, strict=True)
    ]


def test_equal_costs_of_all_errors_leave_the_likeliest_class() -> None:
    answers = single(100)
    assert costs.least(answers, 1 - np.eye(4)).tolist() == answers.predicted.tolist()


def written(folder: Path, text: str) -> Path:
    path = folder / "costs.csv"
    path.write_text(text)
    return path


def test_a_file_of_costs_names_classes_in_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, "truth,cat, ant,bee\nbee,5,4,0\ncat,0,2,1\n\nant,6,0,0.5\n")
    expected = [[0, 0.5, 6], [4, 0, 5], [2, 1, 0]]
    assert costs.read(path, NAMES[:3]).tolist() == expected


def test_names_with_commas_and_quotes_are_read_as_csv_has_them(tmp_path: Path) -> None:
    path = written(tmp_path, 'x,"a,b","=c ""d"""\n"a,b",0,1\n"=c ""d""",2,0\n')
    assert costs.read(path, ("a,b", '=c "d"')).tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no costs"),
        ("x,ant,bee\n", "holds no costs"),
        ("x,ant,bee\nant,0,1\n", "has no line for `bee`"),
        ("x,ant\nant,0\nbee,1\n", "has no column for `bee`"),
        ("x,ant,bea\nant,0,1\nbee,1,0\n", "`bea`, which is no class .did you mean `bee`"),
        ("x,ant,bee\nant,0,1\nant,1,0\n", "two lines are called `ant`"),
        ("x,ant,bee\nant,0\nbee,1,0\n", "the line of `ant` has 1 costs, not 2"),
        ("x,ant,bee\nant,0,much\nbee,1,0\n", "holds `much`"),
        ("x,ant,bee\nant,0,-1\nbee,1,0\n", "holds `-1`"),
        ("x,ant,bee\nant,0,nan\nbee,1,0\n", "holds `nan`"),
    ],
)
def test_a_faulty_file_of_costs_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        costs.read(written(tmp_path, text), NAMES[:2])


def test_a_file_of_costs_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the costs in `.*`: Is a directory$"):
        costs.read(tmp_path, NAMES[:2])
    (tmp_path / "costs.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"cannot read the costs in `.*`: it is no CSV in UTF-8$"):
        costs.read(tmp_path / "costs.csv", NAMES[:2])
