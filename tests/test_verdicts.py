from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.specs import Task
from bench.verdicts import Judge, thresholds_of

CLASSES = ("cat", "dog", "=owl")


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(1, 3))
def test_the_likeliest_class_is_said_and_others_follow_in_order(
    values: list[float], top: int
) -> None:
    verdict = Judge(Task.MULTI_CLASS, CLASSES, top=top).say(np.array(values))
    assert verdict.probability == max(values)
    told = [value for _, value in verdict.ranked]
    assert told == sorted(values, reverse=True)[:top]
    assert len({name for name, _ in verdict.ranked}) == top


def test_of_two_classes_a_threshold_says_the_second() -> None:
    thresholds = thresholds_of(["dog=0.2"], Task.BINARY, CLASSES[:2], None)
    judge = Judge(Task.BINARY, CLASSES[:2], thresholds=thresholds, top=2)
    assert judge.said_from == {"dog": 0.2}
    verdict = judge.say(np.array([0.7, 0.3]))
    assert verdict.labels == ("dog",)
    assert verdict.probability == 0.3
    assert [name for name, _ in verdict.ranked] == ["dog", "cat"]
    assert judge.say(np.array([0.81, 0.19])).labels == ("cat",)
    assert thresholds_of([], Task.BINARY, CLASSES[:2], None) == ()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], (0.4, 0.4, 0.4)),
        (["0.7"], (0.7, 0.7, 0.7)),
        (["dog=0.1,=owl=0.9"], (0.4, 0.1, 0.9)),
        (["0.2", "cat=1"], (1.0, 0.2, 0.2)),
        (["cat=0, dog = 0.5"], (0.0, 0.5, 0.4)),
    ],
)
def test_thresholds_by_label(words: list[str], expected: tuple[float, ...]) -> None:
    assert thresholds_of(words, Task.MULTI_LABEL, CLASSES, 0.4) == expected


def test_a_label_may_hold_a_comma_and_a_sign() -> None:
    classes = ("a,b=c", "d")
    assert thresholds_of(["a,b=c=0.3"], Task.MULTI_LABEL, classes, 0.5) == (0.3, 0.5)


@pytest.mark.parametrize(
    ("word", "task", "message"),
    [
        ("1.5", Task.MULTI_LABEL, "`1.5` is no probability"),
        ("nan", Task.MULTI_LABEL, "`nan` is no probability"),
        ("cat", Task.MULTI_LABEL, "`cat` is no probability"),
        ("cow=0.5", Task.MULTI_LABEL, "no label is called `cow`"),
        ("dig=0.5", Task.MULTI_LABEL, r"\(did you mean `dog`\?\)"),
        ("0.5", Task.MULTI_CLASS, "leave it out"),
        ("0.5", Task.HIERARCHICAL, "leave it out"),
        ("cat=0.5", Task.BINARY, "the second, `dog`, counts as positive"),
    ],
)
def test_a_wrong_threshold_is_refused(word: str, task: Task, message: str) -> None:
    classes = CLASSES[:2] if task is Task.BINARY else CLASSES
    with pytest.raises(UsageError, match=message):
        thresholds_of([word], task, classes, 0.5)


def test_no_label_at_all_is_an_answer() -> None:
    judge = Judge(Task.MULTI_LABEL, CLASSES, thresholds=(0.5, 0.5, 0.5))
    verdict = judge.say(np.array([0.1, 0.2, 0.3]))
    assert verdict.labels == ()
    assert judge.caption(verdict) == "(none)"
    assert judge.columns() == ["path", "predicted", "cat", "dog", "'=owl"]
    assert judge.cells("-x.png", verdict) == ["'-x.png", "", "0.1", "0.2", "0.3"]


def test_every_row_has_as_many_cells_as_there_are_columns() -> None:
    tree = (("animal", "cat"), ("animal", "dog"), ("animal", "=owl"))
    for task, thresholds in (
        (Task.MULTI_CLASS, ()),
        (Task.HIERARCHICAL, ()),
        (Task.MULTI_LABEL, (0.5, 0.5, 0.5)),
    ):
        judge = Judge(task, CLASSES, tree, thresholds, top=2)
        verdict = judge.say(np.array([0.1, 0.2, 0.7]))
        assert len(judge.cells("a", verdict)) == len(judge.columns())
        assert "'=owl" in judge.cells("a", verdict)
