"""Charts of what a network said of the items of a split."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from bench import confusion
from bench.charts import Axis, Cell, Chart, Dot, Line, Mark, Rule, Unit
from bench.report import answer_curves
from bench.report.answer_curves import Curve, short
from bench.specs import Answers, Task
from bench.text import one_line

MOST_CLASSES = 40
"""Classes of which a confusion matrix shows all."""
CONFUSED_CLASSES = 20
"""Of more, those that are confused most often."""
MOST_CELLS = 200
"""Cells that are drawn, those with the most items: each takes 200 bytes of a page."""
MOST_CURVES = 7
"""Classes of which all have a curve: beside their mean, as many as can be told apart."""
WORST_CURVES = 4
"""Of more, those with the least area."""
MOST_NUMBERS = 500_000
"""Probabilities beyond which curves are drawn of the worst classes alone: to find out the area of
all would take seconds."""
LONGEST_NAME = 60
"""Characters of the name of a class."""


def of(answers: Answers, prefix: str, opened: Collection[str] | None = None) -> tuple[Chart, ...]:
    """Return the charts of a split: confusion matrix, ROC, precision-recall, reliability.

    Without probabilities there is the confusion matrix alone; in a multi-label task there is none,
    and curves are those of labels.

    Args:
        answers: of one run on one split.
        prefix: begins the names of the charts, and the links of the cells where they are confused:
            `<prefix>-c<true>-<said>`, by numbers of classes. Empty for none.
        opened: the links that lead somewhere; None for all.
    """
    charts = [] if answers.task is Task.MULTI_LABEL else [_confusion(answers, prefix, opened)]
    if answers.probabilities is not None:
        shown = _Shown.of(answers)
        charts += _curves(shown, prefix)
        charts.append(_reliability(answers, prefix))
    return tuple(charts)


def link(prefix: str, true: int, said: int) -> str:
    """Return the link of a cell of a confusion matrix."""
    return _named(prefix, f"c{true}-{said}")


def name_of(answers: Answers, place: int) -> str:
    """Return the name of a class in a line."""
    return one_line(answers.names[place], LONGEST_NAME)


def _confusion(answers: Answers, prefix: str, opened: Collection[str] | None) -> Chart:
    counts = confusion.matrix(answers)
    n, wrong = counts.sum(1), counts.copy()
    np.fill_diagonal(wrong, 0)
    places, note = [*range(len(n))], ""
    if len(places) > MOST_CLASSES:
        often = wrong.sum(0) + wrong.sum(1)
        places = sorted(np.argsort(-often, kind="stable")[:CONFUSED_CLASSES].tolist())
        inside = int(wrong[np.ix_(places, places)].sum())
        note = (
            f"The {len(places)} of {len(n)} classes that are confused most often: {inside:,} of "
            f"{int(wrong.sum()):,} mistakes are among them. "
        )
    names = tuple(name_of(answers, place) for place in places)
    shown = [
        (row, column)
        for row, true in enumerate(places)
        for column, said in enumerate(places)
        if counts[true, said] or true == said
    ]
    # The diagonal and the most frequent mistakes.
    shown.sort(key=lambda cell: (cell[0] != cell[1], -counts[places[cell[0]], places[cell[1]]]))
    if len(shown) > MOST_CELLS:
        note += f"{len(shown) - MOST_CELLS:,} cells with the fewest items are left empty. "
    cells: list[Mark] = []
    for row, column in sorted(shown[:MOST_CELLS]):
        true, said = places[row], places[column]
        count, same = int(counts[true, said]), true == said
        share = count / n[true] if n[true] else 0.0
        what = "recognised" if same else f"taken for {names[column]}"
        target = "" if same or not prefix else link(prefix, true, said)
        if opened is not None and target not in opened:
            target = ""
        cells.append(
            Cell(
                column,
                row,
                short(share),
                f"{count:,}",
                f"{names[row]} {what}: {count:,} of {int(n[true]):,} ({share:.1%})",
                target,
                right=same,
            )
        )
    return Chart(
        _named(prefix, "confusion"),
        "Confusion matrix",
        Axis("said", categories=names),
        Axis("truth", categories=names),
        tuple(cells),
        note=f"{note}Rows are the truth, columns what was said; the darker, the larger the part of "
        f"its row. n = {len(answers.ids):,}.",
        wide=len(places) > 12,
    )


class _Shown:
    """The classes whose curves are drawn, with what they are measured by.

    Attributes:
        answers: of all.
        places: of the classes, in their order.
        mean: whether their mean is that of all classes.
        lacking: classes without items, or with nothing else.
    """

    def __init__(self, answers: Answers, places: Sequence[int], *, mean: bool) -> None:
        assert answers.probabilities is not None
        self.answers = answers
        self.places = places
        self.mean = mean
        self._shares = answers.probabilities

    @classmethod
    def of(cls, answers: Answers) -> _Shown:
        width = len(answers.names)
        if _of_two(answers):
            return cls(answers, [1], mean=False)
        if answers.labels.shape[0] * width > MOST_NUMBERS:
            table = confusion.by_class(answers)
            worst = sorted(range(width), key=lambda place: (table[place]["f1"], place))
            return cls(answers, sorted(worst[:WORST_CURVES]), mean=False)
        return cls(answers, range(width), mean=width > 1)

    def curves(
        self, make: Callable[[npt.NDArray[np.bool_], npt.NDArray[np.float64]], Curve | None]
    ) -> dict[int, Curve]:
        found = {}
        for place in self.places:
            shares = self._shares[:, place].astype(np.float64)
            if (curve := make(self.truth(place), shares)) is not None:
                found[place] = curve
        return found

    def truth(self, place: int) -> npt.NDArray[np.bool_]:
        labels = self.answers.labels
        return np.asarray(labels == place if labels.ndim == 1 else labels[:, place] == 1, np.bool_)


def _of_two(answers: Answers) -> bool:
    """Return whether one curve tells of both classes that there are."""
    return answers.task is Task.BINARY and len(answers.names) == 2


def _curves(shown: _Shown, prefix: str) -> list[Chart]:
    answers = shown.answers
    several = answers.task is Task.MULTI_LABEL
    item = "label" if several else "class"
    against = "each label by itself" if several else "each class against the rest"
    if _of_two(answers):
        against = f"{name_of(answers, 1)} against {name_of(answers, 0)}"
    charts = []
    rocs = shown.curves(answer_curves.roc)
    if rocs:
        marks, series, note = _lines(shown, rocs, "AUC", item)
        charts.append(
            Chart(
                _named(prefix, "roc"),
                f"ROC curves, {against}",
                Axis("false alarms, of all others", Unit.SHARE, low=0.0, high=1.0),
                Axis("found, of the class", Unit.SHARE, low=0.0, high=1.0),
                (Rule(label="guessing"), *marks),
                series,
                note,
            )
        )
    found = shown.curves(answer_curves.precision_recall)
    if found:
        marks, series, note = _lines(shown, found, "AP", item)
        charts.append(
            Chart(
                _named(prefix, "precision-recall"),
                f"Precision and recall, {against}",
                Axis("recall", Unit.SHARE, low=0.0, high=1.0),
                Axis("precision", Unit.SHARE, low=0.0, high=1.0),
                tuple(marks),
                series,
                f"{note} AP is the average precision.",
            )
        )
    return charts


def _lines(
    shown: _Shown, curves: dict[int, Curve], area: str, item: str
) -> tuple[list[Mark], tuple[str, ...], str]:
    """Return the lines of the worst classes and of the mean of all, their names, and a note."""
    answers, total = shown.answers, len(shown.answers.ids)
    places = [*curves]
    note = f"n = {total:,}."
    if len(places) > MOST_CURVES:
        worst = sorted(places, key=lambda place: (curves[place].area, place))[:WORST_CURVES]
        note = f"The {WORST_CURVES} of {len(answers.names)} with the least {area}. {note}"
        places = worst
    elif len(places) < len(answers.names) and len(places) > 1 and not shown.mean:
        note = f"The {len(places)} of {len(answers.names)} with the lowest F1. {note}"
    lacking = len(shown.places) - len(curves)
    if lacking:
        word = {"class": "classes", "label": "labels"}[item] if lacking > 1 else item
        note += f" {lacking} {word} without an item, or with nothing but its own, left out."
    lines: list[Mark] = []
    series = []
    for number, place in enumerate(places):
        curve = curves[place]
        name = f"{name_of(answers, place)} ({area} {curve.area:.3f})"
        series.append(name)
        x, y = answer_curves.thinned(curve)
        lines.append(Line(x, y, number, f"{name}, {curve.positives:,} of {total:,}"))
    if shown.mean and len(curves) > 1:
        mean = answer_curves.mean_of([*curves.values()])
        name = f"mean of {len(curves)} ({area} {mean.area:.3f})"
        x, y = answer_curves.thinned(mean)
        lines.append(Line(x, y, len(series), f"{name}: each {item} counts alike", dashed=True))
        series.append(name)
    return lines, tuple(series), note


def _reliability(answers: Answers, prefix: str) -> Chart:
    """Return the share that was right against the probability that it was said with."""
    confidence, right = answer_curves.confidences(answers)
    bins = answer_curves.reliability(confidence, right)
    several = answers.task is Task.MULTI_LABEL
    dots: list[Mark] = []
    for each in bins:
        share = each.right
        span = f"{each.low:.1%} to {each.high:.1%}" if each.high > each.low else f"{each.low:.1%}"
        verb = "present" if several else "right"
        dots.append(
            Dot(
                short(each.confidence),
                short(share.mean),
                hover=f"said at {span}: {share.mean:.1%} {verb} "
                f"(95 %: {share.low:.1%} to {share.high:.1%}), n = {each.n:,}",
                y_low=short(share.low),
                y_high=short(share.high),
            )
        )
    line = Line(
        tuple(short(each.confidence) for each in bins),
        tuple(short(each.right.mean) for each in bins),
        thin=True,
    )
    error = answer_curves.calibration_error(confidence, right)
    said = "the network is too sure of itself" if several else "it is surer than it should be"
    count = "1 bin" if len(bins) == 1 else f"{len(bins)} bins of about as many each"
    n = f"{len(answers.ids):,} × {len(answers.names)} labels" if several else f"{len(confidence):,}"
    return Chart(
        _named(prefix, "reliability"),
        "Reliability",
        Axis("probability" if several else "confidence", Unit.SHARE, low=0.0, high=1.0),
        Axis("present" if several else "right", Unit.SHARE, low=0.0, high=1.0),
        (Rule(label="as said"), line, *dots),
        note=f"Expected calibration error {error:.1%} (15 bins of equal width), n = {n}. Below the "
        f"diagonal {said}. Whiskers: 95 %, Wilson; {count}.",
    )


def _named(prefix: str, name: str) -> str:
    return f"{prefix}-{name}" if prefix else name
