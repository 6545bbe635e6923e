"""Curves of a run: reading them, time to a target, the gap of train and val, a verdict on the fit.

The rules of the verdict and the reasons for them stand in docs/measurement.md. They go by the
curves of one run and by the numbers of images behind them.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import ConfigError
from bench.records import EpochMetrics, RunRecord, RunStatus, StepMetrics
from bench.specs import Task
from bench.text import did_you_mean

MIN_EPOCHS = 4
"""Fewer show no trend: the last two are compared with the two before them."""
LARGE_GAP = 0.05
"""Of accuracy: train ahead of val by more is worth a word, if it is no noise."""
LOSS_RISE = 0.10
"""Part of its minimum by which the val loss has to rise, if that is no noise."""
LOSS_FALL = 0.02
"""Part by which the val loss has to fall to count as falling."""
ACCURACY_RISE = 0.01
"""Of accuracy: what has to be gained to count as rising, if that is no noise."""
Z = 1.96
"""Standard errors on each side of an estimate that make 95 %."""


class Fit(enum.StrEnum):
    """How a network's fit to train compares with what it does on val."""

    OVERFITS = "overfits"
    UNDERFITS = "underfits"
    STILL_LEARNING = "still learning"
    FITS = "fits"
    UNCLEAR = "too little to say"


class Curve(enum.StrEnum):
    """The val metrics of which a target may be set: the higher the better, but for the loss."""

    ACCURACY = "accuracy"
    LOSS = "loss"
    SCORE = "score"

    def of(self, epoch: EpochMetrics) -> float | None:
        """Return an epoch's value; None where its line does not say."""
        values = {
            Curve.ACCURACY: epoch.val_accuracy,
            Curve.LOSS: epoch.val_loss,
            Curve.SCORE: epoch.val_score,
        }
        return values[self]


@dataclass(frozen=True)
class Reached:
    """When a target was first met.

    Attributes:
        epoch: at the end of which, from 1.
        steps: training steps until then; None where older curves do not say.
        seconds: of training steps until then; evaluations do not count.
    """

    epoch: int
    steps: int | None
    seconds: float


@dataclass(frozen=True)
class Gap:
    """How far train is ahead of val at the end of an epoch.

    Attributes:
        epoch: from 1.
        accuracy: of train less that of val; 0.05 is five points.
        low: the lower end of its 95 % interval.
        high: the upper end.
        loss: of val less that of train; None where they are not the same loss.
    """

    epoch: int
    accuracy: float
    low: float
    high: float
    loss: float | None

    @property
    def large(self) -> bool:
        """Whether it is more than a few points and more than noise."""
        return self.accuracy > LARGE_GAP + 1e-9 and self.low > 0


@dataclass(frozen=True)
class Verdict:
    """What the curves of a run say of its fit.

    Attributes:
        kind: in a word.
        sentence: why, with the numbers it rests on.
    """

    kind: Fit
    sentence: str


def read_epochs(path: Path) -> list[EpochMetrics]:
    """Read `epochs.jsonl` up to a line that was cut or is none of ours; [] where there is none."""
    return [EpochMetrics(**line) for line in _lines(path, EpochMetrics)]


def read_steps(path: Path) -> list[StepMetrics]:
    """Read `steps.jsonl` likewise."""
    return [StepMetrics(**line) for line in _lines(path, StepMetrics)]


def parse_target(text: str) -> tuple[Curve, float]:
    """Return what `0.85` (an accuracy), `loss:0.4` or `score:0.6` mean.

    Raises:
        ConfigError: no such metric, no number, or one that the metric cannot have.
    """
    name, colon, number = text.rpartition(":")
    name = name.strip() if colon else Curve.ACCURACY
    if name not in list(Curve):
        known = ", ".join(f"`{curve}`" for curve in Curve)
        raise ConfigError(
            f"no metric `{name}` in the target `{text}`{did_you_mean(name, Curve)}; "
            f"there are {known}, as in `loss:0.4`"
        )
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"no number in the target `{text}`; give one such as `0.85`, `loss:0.4`")
    if name == Curve.ACCURACY and not 0 <= value <= 1:
        raise ConfigError(f"the target `{text}` is no accuracy: 85 % is `0.85`")
    return Curve(name), value


def time_to_target(epochs: Sequence[EpochMetrics], curve: Curve, target: float) -> Reached | None:
    """Return when a val metric first reached a target; None where it never did."""
    seconds = 0.0
    for epoch in epochs:
        seconds += epoch.seconds
        value = curve.of(epoch)
        if value is None:
            continue
        if value <= target if curve is Curve.LOSS else value >= target:
            return Reached(epoch.epoch, epoch.steps or None, seconds)
    return None


def best_of(epochs: Sequence[EpochMetrics], curve: Curve) -> float | None:
    """Return the best value that a val metric had; None where no epoch says."""
    values = [value for epoch in epochs if (value := curve.of(epoch)) is not None]
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return None
    return min(values) if curve is Curve.LOSS else max(values)


def gap(
    epochs: Sequence[EpochMetrics], epoch: int, n_train: int, n_val: int, *, same_loss: bool
) -> Gap | None:
    """Return the gap of train and val at an epoch; None where it is unknown.

    Args:
        epochs: the curves.
        epoch: from 1; the one whose weights were kept, as a rule.
        n_train: images behind a training accuracy.
        n_val: images behind a val accuracy.
        same_loss: whether the two losses may be compared.
    """
    for metrics in epochs:
        if metrics.epoch == epoch and n_train > 0 and n_val > 0 and _finite(metrics):
            low, high = _difference(metrics.train_accuracy, n_train, metrics.val_accuracy, n_val)
            accuracy = metrics.train_accuracy - metrics.val_accuracy
            loss = metrics.val_loss - metrics.train_loss if same_loss else None
            return Gap(epoch, accuracy, min(low, accuracy), max(high, accuracy), loss)
    return None


def fit_of(epochs: Sequence[EpochMetrics], record: RunRecord) -> tuple[Gap | None, Verdict | None]:
    """Return the gap of a run at the epoch that was kept, and what its curves say of its fit.

    Neither is known of a run that did not end well, nor where its record lacks what they rest on.
    """
    best = best_epoch(record)
    n_train = _count(record.environment.get("train_items"))
    n_val = _count(record.metrics.get("val", {}).get("n"))
    if record.status is not RunStatus.OK or not (best and n_train and n_val):
        return None, None
    task, names = (record.environment.get(name) for name in ("task", "classes"))
    same = bool(record.environment.get("train_loss_is_log_loss"))
    single = task != Task.MULTI_LABEL
    classes = len(names) if single and isinstance(names, list) and names else None
    return (
        gap(epochs, best, n_train, n_val, same_loss=same),
        verdict(epochs, best, n_train, n_val, classes=classes, same_loss=same),
    )


def best_epoch(record: RunRecord) -> int:
    """Return the epoch whose weights a run has kept, from 1; 0 where none is known."""
    return _count(record.timing.get("best_epoch"))


def verdict(
    epochs: Sequence[EpochMetrics],
    best_epoch: int,
    n_train: int,
    n_val: int,
    *,
    classes: int | None,
    same_loss: bool,
) -> Verdict:
    """Return what the curves of a run say of its fit; see docs/measurement.md for the rules.

    Args:
        epochs: the curves.
        best_epoch: the epoch whose weights were kept, from 1.
        n_train: images behind a training accuracy.
        n_val: images behind a val accuracy.
        classes: how many there are; None where an image may have several labels.
        same_loss: whether train and val loss may be compared.
    """
    if len(epochs) < MIN_EPOCHS:
        return Verdict(Fit.UNCLEAR, f"a trend needs {MIN_EPOCHS} epochs, not {len(epochs)}")
    kept = gap(epochs, best_epoch, n_train, n_val, same_loss=same_loss)
    last = gap(epochs, epochs[-1].epoch, n_train, n_val, same_loss=same_loss)
    if kept is None or last is None or not all(map(_finite, epochs)):
        return Verdict(Fit.UNCLEAR, "the curves lack numbers")
    rise = _loss_rise(epochs, n_val) if same_loss else None
    learning = _still_learning(epochs, n_train)
    if rise or kept.large or last.large:
        reasons = [rise] if rise else []
        if kept.large or last.large:
            reasons.append(_ahead(kept, last))
        if learning and not rise:
            reasons.append("val was still improving, though")
        return Verdict(Fit.OVERFITS, "; ".join(reasons))
    if learning:
        return Verdict(Fit.STILL_LEARNING, f"{learning}; more epochs may help")
    metrics = next(each for each in epochs if each.epoch == best_epoch)
    both = f"{_percent(metrics.train_accuracy)} on train, {_percent(metrics.val_accuracy)} on val"
    # Half of the way from guessing to knowing. Where labels are many to an image, who could tell?
    low = 0.5 + 0.5 / classes if classes else 0.0
    if max(metrics.train_accuracy, metrics.val_accuracy) < low:
        guess = _percent(1 / classes) if classes else ""
        return Verdict(
            Fit.UNDERFITS,
            f"no more than {both}, nearer to guessing ({guess}) than to 100%, and no longer "
            "rising; try another learning rate, a larger model or less augmentation",
        )
    widest = max(kept, last, key=lambda each: each.accuracy)
    if widest.accuracy > LARGE_GAP + 1e-9:
        return Verdict(
            Fit.UNCLEAR,
            f"train is ahead of val by {_points(widest)} at epoch {widest.epoch}, which may be "
            f"the noise of {n_val:,} val images",
        )
    harder = "; train is measured in training mode, on augmented images"
    ahead = harder if kept.accuracy < -LARGE_GAP else ""
    end = epochs[-1].val_accuracy
    if metrics.val_accuracy - end > LARGE_GAP:
        ahead += f"; by the last epoch val had fallen to {_percent(end)}: training was not stable"
    return Verdict(Fit.FITS, f"{both}, no longer clearly rising{ahead}")


def _still_learning(epochs: Sequence[EpochMetrics], n_train: int) -> str:
    """Say how train and val still improved at the end; an empty text where they did not.

    Train carries the proof, since it has more images; val has to go with it.
    """
    size = _window(epochs)
    end, before = epochs[-size:], epochs[-2 * size : -size]
    old, new = (_mean([e.train_accuracy for e in part]) for part in (before, end))
    proven = _difference(new, n_train * size, old, n_train * size)[0] > 0
    old_val, new_val = (_mean([e.val_accuracy for e in part]) for part in (before, end))
    old_loss, new_loss = (_mean([e.val_loss for e in part]) for part in (before, end))
    with_it = new_loss < old_loss * (1 - LOSS_FALL) or new_val - old_val > ACCURACY_RISE
    if not (proven and new - old > ACCURACY_RISE and with_it and new_val >= old_val):
        return ""
    return (
        f"from epochs {_span(before)} to epochs {_span(end)} train accuracy rose from "
        f"{_percent(old)} to {_percent(new)} and val accuracy from {_percent(old_val)} to "
        f"{_percent(new_val)}, while val loss went from {old_loss:.4f} to {new_loss:.4f}"
    )


def _loss_rise(epochs: Sequence[EpochMetrics], n_val: int) -> str:
    """Say how val loss rose while train loss fell; an empty text where it did not."""
    lowest = min(epochs, key=lambda epoch: epoch.val_loss)
    end = epochs[-_window(epochs) :]
    if lowest in end:
        return ""
    # A mean loss is mostly that of the items that are wrong, and their number k has a standard
    # error of its root: the loss one of 1 / sqrt(k) of itself.
    wrong = max(1.0, (1 - lowest.val_accuracy) * n_val)
    rise = max(LOSS_RISE, Z / math.sqrt(wrong))
    val, train = _mean([e.val_loss for e in end]), _mean([e.train_loss for e in end])
    if not (val > lowest.val_loss * (1 + rise) and train < lowest.train_loss):
        return ""
    return (
        f"val loss rose from {lowest.val_loss:.4f} (epoch {lowest.epoch}) to {val:.4f} at the end "
        f"while train loss fell from {lowest.train_loss:.4f} to {train:.4f}"
    )


def _ahead(kept: Gap, last: Gap) -> str:
    """Say how far train is ahead of val at the epoch kept, or where it is not far, at the last."""
    if kept.large:
        return f"train is ahead of val by {_points(kept)} at epoch {kept.epoch}, which was kept"
    return (
        f"train is ahead of val by {_points(last)} at epoch {last.epoch}, the last; at epoch "
        f"{kept.epoch}, which was kept, the gap was {_points(kept)}"
    )


def _count(value: Any) -> int:
    """Return a positive whole number; 0 for what is none, as a foreign record may hold."""
    return value if isinstance(value, int) and value > 0 else 0


def _window(epochs: Sequence[EpochMetrics]) -> int:
    """Return how many epochs count as the end of a run: a tenth, and two at least."""
    return max(2, len(epochs) // 10)


def _difference(first: float, n_first: int, second: float, n_second: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two proportions.

    Two successes and two failures are added, one of each to either side (Agresti and Caffo 2000,
    https://doi.org/10.1080/00031305.2000.10474560), since accuracies near 100 % have no normal
    error.
    """
    a = (first * n_first + 1) / (n_first + 2)
    b = (second * n_second + 1) / (n_second + 2)
    # A foreign file may hold an accuracy beyond 0 to 1.
    variance = max(0.0, a * (1 - a)) / (n_first + 2) + max(0.0, b * (1 - b)) / (n_second + 2)
    half = Z * math.sqrt(variance)
    return a - b - half, a - b + half


def _finite(epoch: EpochMetrics) -> bool:
    values = (epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy)
    return all(map(math.isfinite, values))


def _span(epochs: Sequence[EpochMetrics]) -> str:
    return f"{epochs[0].epoch}–{epochs[-1].epoch}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(part: float) -> str:
    return f"{part:.1%}"


def _points(each: Gap) -> str:
    half = (each.high - each.low) / 2
    return f"{100 * each.accuracy:.1f} points (± {100 * half:.1f})"


def _lines(path: Path, kind: type[EpochMetrics] | type[StepMetrics]) -> list[dict[str, Any]]:
    """Return the fields of the leading lines that are whole and hold finite numbers."""
    optional = {each.name for each in dataclasses.fields(kind) if each.default is None}
    lines: list[dict[str, Any]] = []
    try:
        for text in path.read_text("utf-8", "replace").splitlines():
            fields = kind(**json.loads(text)).to_dict()
            for name, value in fields.items():
                if value is None and name in optional:
                    continue
                if not isinstance(value, int | float) or not math.isfinite(value):
                    return lines
            lines.append(fields)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        pass  # a line that was cut, or a file of something else
    return lines
