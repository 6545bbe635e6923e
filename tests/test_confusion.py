"""Tables of classes and confusions, against scikit-learn."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from answers_samples import NAMES, sets, single
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from bench import confusion
from bench.cli import class_tables


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 6))
@settings(deadline=None, max_examples=30)
def test_matrix_and_classes_are_those_of_scikit_learn(seed: int, classes: int, kept: int) -> None:
    answers = single(40, classes, seed, kept=min(kept, classes))
    places = list(range(classes))
    expected = reference.confusion_matrix(answers.labels, answers.predicted, labels=places)
    assert confusion.matrix(answers).tolist() == expected.tolist()
    columns = reference.precision_recall_fscore_support(
        answers.labels, answers.predicted, labels=places, zero_division=0
    )
    for place, row in enumerate(confusion.by_class(answers)):
        assert row["class"] == NAMES[place]
        found = [row[name] for name in ("precision", "recall", "f1", "n")]
        assert found == pytest.approx([column[place] for column in columns])


def test_labels_of_sets_have_an_average_precision_besides() -> None:
    answers = sets()
    answers.labels[:, 1] = 0
    rows = confusion.by_class(answers)
    columns = reference.precision_recall_fscore_support(
        answers.labels, answers.predicted, zero_division=0
    )
    for place, row in enumerate(rows):
        found = [row[name] for name in ("precision", "recall", "f1", "n")]
        assert found == pytest.approx([column[place] for column in columns])
    assert math.isnan(rows[1]["average_precision"])
    assert answers.probabilities is not None
    expected = reference.average_precision_score(answers.labels[:, 0], answers.probabilities[:, 0])
    assert rows[0]["average_precision"] == pytest.approx(expected)


def test_confusions_come_by_their_number_and_rare_classes_first() -> None:
    labels = np.array([0] * 10 + [1] * 4 + [2] * 6)
    said = np.array([0] * 7 + [1] * 3 + [1, 1, 0, 0] + [2, 2, 2, 2, 0, 0])
    answers = dataclasses.replace(
        single(20, 3), labels=labels, predicted=said, probabilities=None, classes=NAMES[:3]
    )
    found = [(c.true, c.said, c.count, c.n) for c in confusion.most_frequent(answers, 5)]
    assert found == [("ant", "bee", 3, 10), ("bee", "ant", 2, 4), ("cat", "ant", 2, 6)]
    assert len(confusion.most_frequent(answers, 2)) == 2


def test_answers_that_are_all_right_have_no_confusions() -> None:
    answers = single()
    right = dataclasses.replace(answers, predicted=answers.labels)
    assert confusion.most_frequent(right, 5) == []


def shown(capsys: pytest.CaptureFixture[str], classes: int, names: list[str] | None = None) -> str:
    given = names or [f"class number {place}" for place in range(classes)]
    answers = single(40 * classes, classes, names=given)
    class_tables.print_classes(answers, "test")
    return capsys.readouterr().out


def test_the_matrix_of_ten_classes_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, 10)
    assert "test, rows: the truth; columns: what was said" in text
    assert max(map(len, text.splitlines())) <= 100
    matrix = text.split("what was said\n")[1].splitlines()
    assert len(matrix) == 11
    assert matrix[0].split() == [str(place) for place in range(10)]
    assert matrix[3].startswith("  2 class number 2")


def test_of_two_hundred_classes_the_worst_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, 200)
    assert "the 30 of 200 with the lowest F1; `--json` has all" in text
    assert "the most frequent confusions; `--json` has the whole matrix" in text
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) <= 100
    counts = [int(line.split()[-2]) for line in text.split("truth")[1].splitlines()[1:]]
    assert counts == sorted(counts, reverse=True)


def test_hostile_names_stay_on_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = ["a\nb", "\x1b[31mred", "[bold]x[/]", "=cmd|'/C calc'!A0", "x" * 300]
    text = shown(capsys, 5, hostile)
    assert "\x1b" not in text
    assert "[bold]x[/]" in text
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) == 2 + 6 + 2 + 6
