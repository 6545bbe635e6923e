"""What holds over several blocks: mean ranks over datasets, learning rates of optimizers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from bench import rate_series
from bench.charts import Axis, Chart, Dot, Line, Mark, Rule, Unit
from bench.rate_series import RateCurve, RatePanel
from bench.records import canonical
from bench.report.choice import MOST_SERIES, Section, Shown
from bench.report.content import Finding
from bench.rows import METRIC_NAMES, Row
from bench.standings import Standings
from bench.studies import StudyRecord
from bench.text import one_line

MOST_METHODS = 24
"""Methods whose mean ranks are drawn."""
MOST_PANELS = 8
"""Pictures of learning rates; of models and protocols in the order of their blocks."""
FEWEST_RATES = 3
"""Learning rates of which a line says something."""
NEAR = 0.01
"""Of a score: rates that come as near to the best are named together."""


def of(
    standings: Iterable[Standings], sections: Sequence[Section], found: Iterable[StudyRecord]
) -> tuple[Finding, ...]:
    """Return what holds over several blocks.

    Args:
        standings: mean ranks over datasets.
        sections: blocks, of which rows may differ in nothing but the learning rate.
        found: studies, which may have searched it.
    """
    ranks = [_ranks(each, number) for number, each in enumerate(standings)]
    rates = [*_searched(found), *_grids(sections)]
    drawn = [
        _rates(replace(panel, title=title), label, number)
        for number, (title, panel, label) in enumerate(rates[:MOST_PANELS])
    ]
    return (*ranks, *drawn)


def _ranks(standings: Standings, number: int) -> Finding:
    """Return the critical-difference diagram of Demšar (2006), a line for each method.

    Whiskers are half of the critical difference to either side: where those of two methods do not
    meet, their mean ranks are further apart than it.
    """
    half = standings.standing.critical / 2
    shown = [*zip(standings.methods, standings.standing.ranks, strict=True)][:MOST_METHODS]
    marks = tuple(
        Dot(
            float(rank),
            float(place),
            hover=f"{one_line(name)}: mean rank {rank:.2f} over {len(standings.datasets)} datasets",
            x_low=float(rank) - half,
            x_high=float(rank) + half,
        )
        for place, (name, rank) in enumerate(shown)
    )
    fewer = len(standings.methods) - len(shown)
    more = f" The best {len(shown)} of {len(standings.methods)} methods are drawn." if fewer else ""
    metric = METRIC_NAMES[standings.metric]
    chart = Chart(
        f"mean-ranks-{number}",
        f"Ranks by test {metric}, with critical differences",
        Axis("mean rank, 1 the best"),
        Axis("", categories=tuple(one_line(name, 60) for name, _ in shown)),
        marks,
        note="Methods whose bars meet cannot be told apart: each reaches half of Nemenyi's "
        f"critical difference, {standings.standing.critical:.2f}, to either side.{more}",
        wide=True,
    )
    return Finding(f"Mean ranks over {len(standings.datasets)} datasets", str(standings), chart)


def _searched(found: Iterable[StudyRecord]) -> Iterator[tuple[str, RatePanel, str]]:
    """Yield the learning rates that studies have searched, by dataset, model and protocol."""
    for sheet in rate_series.rate_sheets(found):
        for panel in sheet.panels:
            yield f"{sheet.title} · {panel.title}", panel, sheet.label


def _grids(sections: Sequence[Section]) -> Iterator[tuple[str, RatePanel, str]]:
    """Yield the learning rates of rows that differ in nothing else, by block and model."""
    for section in sections:
        models: dict[str, dict[str, list[Shown]]] = {}
        for shown in _with_several_rates(section.rows):
            row = shown.row
            place = canonical([row.model, row.weights, row.params.get("model")])
            models.setdefault(place, {}).setdefault(_all_but_rate(row), []).append(shown)
        label = f"val {METRIC_NAMES[section.block.metric]}"
        for groups in models.values():
            curves = tuple(curve for rows in groups.values() if (curve := _curve(rows)) is not None)
            if curves:
                first = next(iter(groups.values()))[0].row
                model = f"{first.model} from {first.weights}" if first.weights else first.model
                title = one_line(f"{section.block.title} · {model}")
                yield title, RatePanel(title, True, curves), label


def _with_several_rates(rows: Iterable[Shown]) -> Iterator[Shown]:
    """Yield the rows of models and optimizers that were trained at enough learning rates."""
    groups: dict[tuple[str, str], list[tuple[float, Shown]]] = {}
    for shown in rows:
        row, rate = shown.row, _rate(shown.row)
        if rate is not None and not row.is_tuned and not row.members:
            groups.setdefault((row.model, row.optimizer), []).append((rate, shown))
    for group in groups.values():
        if len({rate for rate, _ in group}) >= FEWEST_RATES:
            yield from (shown for _, shown in group)


def _rate(row: Row) -> float | None:
    rate = row.params.get("optimizer", {}).get("lr")
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    return float(rate) if is_number and rate > 0 else None


def _all_but_rate(row: Row) -> str:
    """Return what the rows of one line have in common."""
    params = {name: dict(values) for name, values in row.params.items()}
    del params["optimizer"]["lr"]
    return canonical([row.optimizer, params, row.device, row.devices, row.draw, row.pinned])


def _curve(rows: Sequence[Shown]) -> RateCurve | None:
    """Return val over the learning rates of some rows; None where they are too few."""
    points, failed, partly = [], [], []
    for shown in rows:
        row, rate = shown.row, _rate(shown.row)
        assert rate is not None
        if row.val_score is not None:
            points.append((rate, row.val_score))
            partly += [(rate, row.failures, row.seeds + row.failures)] if row.failures else []
        elif row.failures:  # else all were interrupted, which says nothing of the rate
            failed.append(rate)
    if not points or len({*(rate for rate, _ in points), *failed}) < FEWEST_RATES:
        return None
    return RateCurve(
        rows[0].row.optimizer,
        tuple(sorted(points)),
        tuple(sorted(failed)),
        None,
        alone=True,
        partly=tuple(sorted(partly)),
    )


def _rates(panel: RatePanel, label: str, number: int) -> Finding:
    curves = panel.curves[:MOST_SERIES]
    values = [value for curve in curves for _, value in curve.points]
    best = max(values) if panel.maximize else min(values)
    foot = min(values) if panel.maximize else max(values)
    marks: list[Mark] = []
    for place, curve in enumerate(curves):
        name = one_line(curve.optimizer, 60)
        if curve.alone and len(curve.points) > 1:
            x, y = zip(*curve.points, strict=True)
            marks.append(Line(tuple(x), tuple(y), place, name))
        for rate, value in curve.points:
            default = ", its default" if curve.default == (rate, value) else ""
            hover = f"{name}: {label} {value:.4g} at a learning rate of {rate:.3g}{default}"
            marks.append(Dot(rate, value, place, hover=hover))
        lost = [(rate, "failed") for rate in curve.failed]
        lost += [(rate, f"{some} of {seeds} seeds failed") for rate, some, seeds in curve.partly]
        for rate, what in lost:
            hover = f"{name}: {what} at a learning rate of {rate:.3g}"
            marks.append(Dot(rate, foot, place, hover=hover, hollow=True))
    share = all(0 <= value <= 1 for value in values)
    scattered = "" if all(curve.alone for curve in curves) else " Other params vary too."
    edge = any(curve.failed or curve.partly for curve in curves)
    hollow = " Hollow, at the edge: runs failed." if edge else ""
    fewer = len(panel.curves) - len(curves)
    more = f" {fewer} further optimizers are not drawn." if fewer else ""
    chart = Chart(
        f"learning-rates-{number}",
        f"{label[:1].upper()}{label[1:]} against the learning rate",
        Axis("learning rate", log=True),
        Axis(one_line(label), Unit.SHARE if share else Unit.PLAIN),
        (*marks, Rule(y=best, label="best")),
        tuple(one_line(curve.optimizer, 60) for curve in curves),
        "Val selects; what is best here is for the test split to confirm."
        f"{scattered}{hollow}{more}",
    )
    sentences = [_sentence(curve, panel.maximize, share=share) for curve in curves]
    return Finding(f"{panel.title}: learning rates", "; ".join(sentences), chart)


def _sentence(curve: RateCurve, maximize: bool, *, share: bool) -> str:
    """Return the best learning rate of an optimizer, and how far around it the score holds."""
    choose = max if maximize else min
    rate, best = choose(curve.points, key=lambda point: point[1])
    text = f"{one_line(curve.optimizer, 60)} is best at {rate:.3g}"
    if share and curve.alone:
        near = _near(curve, rate, best)
        if len(near) > 1:
            text += f", within a point of it from {near[0]:.3g} to {near[-1]:.3g}"
    some = [f"{lost} of {seeds} seeds failed at {rate:.3g}" for rate, lost, seeds in curve.partly]
    if some:
        text += f", and {_few(some)}"
    if curve.failed:
        text += f", and failed at {_few([f'{rate:.3g}' for rate in curve.failed])}"
    return text


def _near(curve: RateCurve, rate: float, best: float) -> list[float]:
    """Return the learning rates around the best, ascending.

    They end at the first on either side that is worse, or at which runs failed.
    """
    gaps: dict[float, float] = {}
    for other, value in curve.points:
        gaps[other] = max(gaps.get(other, 0.0), abs(best - value))
    gaps |= dict.fromkeys([*curve.failed, *(other for other, *_ in curve.partly)], math.inf)
    rates = sorted(gaps)
    place = rates.index(rate)

    def is_near(other: float) -> bool:
        return gaps[other] <= NEAR

    below = [*itertools.takewhile(is_near, reversed(rates[:place]))]
    return [*reversed(below), rate, *itertools.takewhile(is_near, rates[place + 1 :])]


def _few(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return f"{', '.join(texts[:3])}{more}"
