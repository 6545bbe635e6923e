"""What is drawn of several studies: values against the learning rate, one curve an optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.records import canonical
from bench.studies import StudyRecord, TrialState
from bench.study_series import StudyView, model_of, spoken, view_of
from bench.text import one_line


@dataclass(frozen=True)
class RateCurve:
    """What an optimizer scored at each learning rate.

    Attributes:
        points: learning rate and value of complete trials, in the order of rates.
        failed: learning rates at which trials failed, in order.
        default: the point of the default params, where it is complete.
        alone: whether nothing but the learning rate was searched.
        partly: learning rates at which some seeds failed and others did not: the rate, how many,
            and of how many; in order.
    """

    optimizer: str
    points: tuple[tuple[float, float], ...]
    failed: tuple[float, ...]
    default: tuple[float, float] | None
    alone: bool
    partly: tuple[tuple[float, int, int], ...] = ()


@dataclass(frozen=True)
class RatePanel:
    """The optimizers that were tuned for one model under one protocol.

    Attributes:
        title: the model, and what tells its protocol from that of the panels beside it.
        maximize: whether more is better.
    """

    title: str
    maximize: bool
    curves: tuple[RateCurve, ...]


@dataclass(frozen=True)
class RateSheet:
    """The studies of one dataset that searched a learning rate.

    Attributes:
        title: the dataset.
        label: how the values are called.
        optimizers: of all panels, so that each can look alike in all of them.
    """

    title: str
    label: str
    panels: tuple[RatePanel, ...]
    optimizers: tuple[str, ...]


def rate_sheets(studies: Iterable[StudyRecord]) -> list[RateSheet]:
    """Return a sheet for each dataset of which studies searched a learning rate."""
    families: dict[tuple[str, str], list[tuple[StudyView, RateCurve]]] = {}
    for study in studies:
        view = view_of(study)
        curve = _rate_curve(view)
        if curve is not None:
            families.setdefault((study.dataset, view.label), []).append((view, curve))
    return [
        RateSheet(
            one_line(dataset),
            label,
            tuple(_panels(found)),
            tuple(sorted({curve.optimizer for _, curve in found})),
        )
        for (dataset, label), found in families.items()
    ]


def _panels(found: Sequence[tuple[StudyView, RateCurve]]) -> Iterable[RatePanel]:
    """Return a panel for each model and protocol, named by what differs."""
    groups: dict[str, list[tuple[StudyView, RateCurve]]] = {}
    for view, curve in found:
        place = canonical([model_of(view.study), _protocol(view.study)])
        groups.setdefault(place, []).append((view, curve))
    protocols = [_protocol(pairs[0][0].study) for pairs in groups.values()]
    differing = [
        name
        for name in dict.fromkeys(name for protocol in protocols for name in protocol)
        if len({canonical(protocol.get(name)) for protocol in protocols}) > 1
    ]
    for pairs, protocol in zip(groups.values(), protocols, strict=True):
        view = pairs[0][0]
        own = [f"{name.replace('_', ' ')} {spoken(protocol.get(name))}" for name in differing]
        title = one_line(", ".join([model_of(view.study), *own]))
        curves = tuple(_merged([curve for _, curve in pairs]))
        yield RatePanel(title, view.objective.maximize, curves)


def _rate_curve(view: StudyView) -> RateCurve | None:
    """Return what a study says of the learning rate; None if it did not search it."""
    study = view.study
    rates = [name for name in study.space if name.endswith(".lr")]
    if not rates:
        return None
    own = f"{study.optimizer}.lr"
    axis = next(axis for axis in view.axes if axis.name == (own if own in rates else rates[0]))
    points, failed, default = [], [], None
    for trial in study.trials:
        rate, value = axis.place(trial.params), view.values.get(trial.number)
        if rate is None or rate <= 0:
            continue
        if trial.state is TrialState.FAILED:
            failed.append(rate)
        elif trial.state is TrialState.COMPLETE and value is not None:
            points.append((rate, value))
            default = (rate, value) if trial.number == 0 else default
    if not points:
        return None
    alone = len(study.space) == 1
    return RateCurve(study.optimizer, tuple(sorted(points)), tuple(sorted(failed)), default, alone)


def _merged(curves: Sequence[RateCurve]) -> Iterable[RateCurve]:
    """Return one curve an optimizer, where several studies tuned it for the same cell."""
    for optimizer in sorted({curve.optimizer for curve in curves}):
        same = [curve for curve in curves if curve.optimizer == optimizer]
        points = sorted(point for curve in same for point in curve.points)
        failed = sorted(rate for curve in same for rate in curve.failed)
        default = next((curve.default for curve in same if curve.default), None)
        alone = all(curve.alone for curve in same)
        yield RateCurve(optimizer, tuple(points), tuple(failed), default, alone)


def _protocol(study: StudyRecord) -> dict[str, Any]:
    """Return the protocol of a study's trials without what each trial has its own of."""
    protocol = study.base.get("protocol", {})
    searched = {name.removeprefix("protocol.") for name in study.space}
    return {name: value for name, value in protocol.items() if name not in searched}
