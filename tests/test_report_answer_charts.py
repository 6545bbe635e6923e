"""Curves and charts of what networks said, checked against scikit-learn."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from answers_samples import NAMES, sets, single
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import HOSTILE
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from bench import Answers, Task, stats
from bench.charts import Axis, Cell, Chart, Dot, Line, Rule
from bench.charts.svg import draw
from bench.report import answer_charts, answer_curves
from bench.report.answer_curves import Curve
from bench_metrics.probabilities import ECE


def chart(answers: Answers, name: str, prefix: str = "run-x") -> Chart:
    [found] = [
        each for each in answer_charts.of(answers, prefix) if each.name == f"{prefix}-{name}"
    ]
    return found


def cells(found: Chart) -> dict[tuple[int, int], Cell]:
    """Return the cells of a confusion matrix by truth and what was said."""
    return {(mark.y, mark.x): mark for mark in found.marks if isinstance(mark, Cell)}


def lines(found: Chart) -> list[Line]:
    return [mark for mark in found.marks if isinstance(mark, Line)]


def truth_and_scores(count: int, seed: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.random(count) < 0.4
    scores = np.round(generator.random(count) * 0.6 + 0.4 * truth, levels)
    truth[:2] = [True, False]
    return truth, scores


many = given(
    st.integers(2, 300), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 6])
)  # few digits make many ties


@many
@settings(max_examples=60, deadline=None)
def test_a_roc_curve_is_that_of_scikit_learn(count: int, seed: int, digits: int) -> None:
    truth, scores = truth_and_scores(count, seed, digits)
    found = answer_curves.roc(truth, scores)
    assert found is not None
    x, y, _ = reference.roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(found.x, x)
    np.testing.assert_allclose(found.y, y)
    assert found.area == pytest.approx(reference.roc_auc_score(truth, scores))
    assert found.positives == truth.sum()


@many
@settings(max_examples=60, deadline=None)
def test_the_area_below_the_stairs_is_the_average_precision(
    count: int, seed: int, digits: int
) -> None:
    truth, scores = truth_and_scores(count, seed, digits)
    found = answer_curves.precision_recall(truth, scores)
    assert found is not None
    exact = reference.average_precision_score(truth, scores)
    assert found.area == pytest.approx(exact)
    assert np.trapezoid(found.y, found.x) == pytest.approx(exact)
    precision, recall, _ = reference.precision_recall_curve(truth, scores)
    corners = {*zip(found.x.round(9), found.y.round(9), strict=True)}
    assert {*zip(recall[:-1].round(9), precision[:-1].round(9), strict=True)} <= corners


@pytest.mark.parametrize("truth", [[False, False], [True, True]])
def test_a_class_without_others_has_no_roc_curve(truth: list[bool]) -> None:
    scores = np.array([0.2, 0.7])
    assert answer_curves.roc(np.array(truth), scores) is None
    assert (answer_curves.precision_recall(np.array(truth), scores) is None) == (not any(truth))


@given(st.integers(2, 4000), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_thinned_curve_looks_the_same(count: int, seed: int, stairs: bool) -> None:
    truth, scores = truth_and_scores(count, seed, 6)
    make = answer_curves.precision_recall if stairs else answer_curves.roc
    curve = make(truth, scores)
    assert curve is not None
    x, y = answer_curves.thinned(curve)
    assert len(x) == len(y) <= answer_curves.POINTS
    assert (x[0], x[-1]) == (0.0, 1.0)
    assert list(x) == sorted(x)
    assert np.trapezoid(y, x) == pytest.approx(curve.area, abs=0.005)
    assert furthest(curve, np.array(x), np.array(y)) < 0.02


def furthest(curve: Curve, x: np.ndarray, y: np.ndarray) -> float:
    """Return how far the furthest point of a curve is from a polyline."""
    a, b = np.stack([x[:-1], y[:-1]], 1), np.stack([x[1:], y[1:]], 1)
    along = b - a
    length = np.maximum((along**2).sum(1), 1e-12)
    distances = []
    for point in np.stack([curve.x, curve.y], 1):
        share = np.clip(((point - a) * along).sum(1) / length, 0, 1)
        distances.append(np.hypot(*(a + share[:, None] * along - point).T).min())
    return max(distances)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("count", [30, 100, 1000])
def test_bins_of_a_reliability_diagram_are_those_of_scikit_learn(count: int, coarse: bool) -> None:
    answers = single(count, seed=count, coarse=coarse)
    confidence, right = answer_curves.confidences(answers)
    bins = answer_curves.reliability(confidence, right)
    wanted = max(1, min(answer_curves.MOST_BINS, count // answer_curves.FEWEST_ITEMS))
    if not coarse:  # it takes equal edges for so many bins, of which all but one are empty
        true, said = calibration_curve(right, confidence, n_bins=wanted, strategy="quantile")
        np.testing.assert_allclose([each.right.mean for each in bins], true)
        np.testing.assert_allclose([each.confidence for each in bins], said)
    assert sum(each.n for each in bins) == count
    assert len(bins) <= wanted
    for each in bins:
        share = stats.wilson(round(each.right.mean * each.n), each.n)
        assert (each.right.low, each.right.high) == (share.low, share.high)
        assert each.low <= each.confidence <= each.high
    edges = [end for each in bins for end in (each.low, each.high)]
    assert edges == sorted(edges)
    assert len({each.low for each in bins}) == len(bins)  # equal probabilities share a bin


@pytest.mark.parametrize("seed", range(5))
def test_the_calibration_error_is_that_of_the_metric(seed: int) -> None:
    answers = single(200, seed=seed)
    found = answer_curves.calibration_error(*answer_curves.confidences(answers))
    assert found == pytest.approx(ECE.value(answers, {"bins": answer_curves.WIDTHS}))
    assert f"{found:.1%}" in chart(answers, "reliability").note


def test_a_confusion_matrix_counts_as_scikit_learn_does() -> None:
    answers = single(300)
    found = chart(answers, "confusion")
    counts = reference.confusion_matrix(answers.labels, answers.predicted)
    shown = cells(found)
    assert found.x.categories == found.y.categories == NAMES[:4]
    for (true, said), count in np.ndenumerate(counts):
        if not count and true != said:
            assert (true, said) not in shown
            continue
        cell = shown[true, said]
        assert cell.text == str(count)
        assert cell.right == (true == said)
        assert cell.depth == pytest.approx(count / counts[true].sum(), abs=1e-4)
        assert cell.link == ("" if true == said else f"run-x-c{true}-{said}")


def test_cells_are_linked_where_there_is_something_behind_them() -> None:
    answers = single(300)
    opened = {answer_charts.link("p", 0, 1)}
    [found, *_] = answer_charts.of(answers, "p", opened)
    assert {cell.link for cell in cells(found).values() if cell.link} == opened
    [plain, *_] = answer_charts.of(answers, "")
    assert plain.name == "confusion"
    assert not any(cell.link for cell in cells(plain).values())


def test_of_many_classes_those_are_shown_that_are_confused_most() -> None:
    names = [f"class {number}" for number in range(50)]
    labels = np.repeat(np.arange(50), 4)
    predicted = labels.copy()
    predicted[labels < 20] = (labels[labels < 20] + 1) % 20
    predicted[-1] = 0
    answers = Answers(Task.MULTI_CLASS, tuple(names), np.arange(200), labels, predicted, None)
    [found] = answer_charts.of(answers, "")
    assert found.x.categories == tuple(names[:20])
    assert "20 of 50 classes" in found.note
    assert "80 of 81 mistakes" in found.note
    fewer = dataclasses.replace(answers, classes=tuple(names[:40]), labels=labels % 40)
    fewer = dataclasses.replace(fewer, predicted=predicted % 40)
    assert len(answer_charts.of(fewer, "")[0].x.categories) == 40


def test_of_many_cells_those_with_the_fewest_items_are_left_empty() -> None:
    answers = single(3000, 30, names=[f"c{number}" for number in range(30)])
    counts = reference.confusion_matrix(answers.labels, answers.predicted)
    found = chart(answers, "confusion")
    shown = cells(found)
    assert len(shown) == answer_charts.MOST_CELLS
    assert all((place, place) in shown for place in range(30))
    least = min(counts[place] for place in shown if place[0] != place[1])
    others = [count for place, count in np.ndenumerate(counts) if place not in shown]
    assert max(others) <= least
    assert f"{np.count_nonzero(others)} cells with the fewest items" in found.note


def test_of_few_classes_each_has_its_curve_and_all_have_a_mean() -> None:
    answers = single(200)
    assert answers.probabilities is not None
    shares = answers.probabilities.astype(float)
    aucs = [reference.roc_auc_score(answers.labels == k, shares[:, k]) for k in range(4)]
    found = chart(answers, "roc")
    names = [f"{NAMES[k]} (AUC {auc:.3f})" for k, auc in enumerate(aucs)]
    assert found.series == (*names, f"mean of 4 (AUC {np.mean(aucs):.3f})")
    assert [line.series for line in lines(found)] == [0, 1, 2, 3, 4]
    assert any(isinstance(mark, Rule) for mark in found.marks)
    precise = chart(answers, "precision-recall")
    exact = [reference.average_precision_score(answers.labels == k, shares[:, k]) for k in range(4)]
    assert precise.series[-1] == f"mean of 4 (AP {np.mean(exact):.3f})"
    assert "n = 200" in found.note


def test_of_more_classes_the_worst_have_curves() -> None:
    names = tuple(f"c{number}" for number in range(12))
    answers = single(400, 12, names=names)
    assert answers.probabilities is not None
    shares = answers.probabilities.astype(float)
    aucs = [reference.roc_auc_score(answers.labels == k, shares[:, k]) for k in range(12)]
    worst = sorted(range(12), key=lambda k: aucs[k])[:4]
    found = chart(answers, "roc")
    assert found.series[:4] == tuple(f"c{k} (AUC {aucs[k]:.3f})" for k in worst)
    assert found.series[4] == f"mean of 12 (AUC {np.mean(aucs):.3f})"
    assert "4 of 12" in found.note


def test_of_very_many_numbers_only_the_worst_classes_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer_charts, "MOST_NUMBERS", 100)
    answers = single(200)
    found = chart(answers, "roc")
    f1 = reference.f1_score(answers.labels, answers.predicted, average=None)
    assert len(found.series) == answer_charts.WORST_CURVES == len(f1)
    assert not any("mean" in name for name in found.series)


def test_a_class_without_items_is_left_out_and_said_so() -> None:
    found = chart(single(100, kept=3), "roc")
    assert "mean of 3" in found.series[-1]
    assert "1 class without an item" in found.note
    assert not any(NAMES[3] in name for name in found.series)


def test_two_classes_have_one_curve() -> None:
    answers = single(100, 2, task=Task.BINARY)
    assert answers.probabilities is not None
    found = chart(answers, "roc")
    auc = reference.roc_auc_score(answers.labels, answers.probabilities[:, 1].astype(float))
    assert found.series == (f"bee (AUC {auc:.3f})",)
    assert "bee against ant" in found.title


def test_labels_have_curves_and_no_matrix() -> None:
    answers = sets(150)
    assert answers.probabilities is not None
    found = answer_charts.of(answers, "")
    assert [each.name for each in found] == ["roc", "precision-recall", "reliability"]
    exact = reference.average_precision_score(
        answers.labels, answers.probabilities.astype(float), average="macro"
    )
    assert found[1].series[-1] == f"mean of 4 (AP {exact:.3f})"
    assert "150 × 4 labels" in found[2].note


def test_without_probabilities_there_is_the_matrix_alone() -> None:
    answers = dataclasses.replace(single(50), probabilities=None)
    assert [each.name for each in answer_charts.of(answers, "")] == ["confusion"]
    assert answer_charts.of(dataclasses.replace(sets(50), probabilities=None), "") == ()


@pytest.mark.parametrize(
    "answers",
    [
        single(1),
        single(3, 2, task=Task.BINARY),
        single(40, 4, task=Task.HIERARCHICAL),
        single(25, coarse=True),
        sets(2),
        dataclasses.replace(single(30), classes=()),
        dataclasses.replace(single(80, 6), classes=HOSTILE[:6]),
        dataclasses.replace(single(80, 6), classes=HOSTILE[6:12]),
        dataclasses.replace(sets(80, 6), classes=HOSTILE[8:14]),
    ],
)
def test_all_numbers_can_be_drawn(answers: Answers) -> None:
    for found in answer_charts.of(answers, "p"):
        for mark in found.marks:
            numbers = {
                Line: lambda m: (*m.x, *m.y),
                Dot: lambda m: (m.x, m.y, m.y_low, m.y_high),
                Cell: lambda m: (m.x, m.y, m.depth),
                Rule: lambda m: (),
            }[type(mark)](mark)
            assert all(math.isfinite(number) for number in numbers)
        assert len(found.series) <= 8
        assert isinstance(found.x, Axis)
        assert "NaN" not in draw(found)
        assert "<script" not in draw(found)


def test_a_single_label_stands_against_no_other() -> None:
    answers = dataclasses.replace(sets(40, 2), classes=NAMES[:1])
    answers = dataclasses.replace(
        answers,
        labels=answers.labels[:, :1],
        predicted=answers.predicted[:, :1],
        probabilities=answers.probabilities[:, :1],
    )
    assert chart(answers, "roc").title == "ROC curves, each label by itself"


def test_a_single_class_stands_against_no_other() -> None:
    ones = np.zeros(30, np.int64)
    answers = Answers(Task.MULTI_CLASS, NAMES[:1], np.arange(30), ones, ones, np.ones((30, 1)))
    found = answer_charts.of(answers, "run-x")
    assert not any(f"{NAMES[0]} against" in each.title for each in found)
    assert found[-1].note.endswith("Wilson; 1 bin.")
