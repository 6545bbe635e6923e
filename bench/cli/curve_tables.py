"""What `bench show` prints of a run's curves: tables, the gap, the verdict, times to targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from bench import curves, stats
from bench.records import EpochMetrics, RunRecord, StepMetrics
from bench.text import duration

MAX_EPOCHS = 40
"""Epochs that are all printed; of more, some are left out."""
MAX_LINES = 20
"""Lines of a table from which some are left out, and of step curves."""

Target = tuple[curves.Curve, float]


@dataclass(frozen=True)
class Curves:
    """The curves of a run and what follows from them.

    Attributes:
        epochs: one an epoch.
        steps: one a point; empty without `log_steps`.
        best_epoch: the epoch whose weights were kept; 0 where none is known.
        gap: at that epoch; None where it is unknown.
        verdict: None for a run that did not end well.
        seeds: the epochs of all finished runs of the same method, this one's too, by seed.
    """

    epochs: list[EpochMetrics]
    steps: list[StepMetrics]
    best_epoch: int
    gap: curves.Gap | None
    verdict: curves.Verdict | None
    seeds: Sequence[Sequence[EpochMetrics]] = ()

    @classmethod
    def read(cls, folder: Path, record: RunRecord, others: Sequence[Path] = ()) -> Curves:
        """Read what a run has left in its folder.

        Args:
            folder: of the run.
            record: of the run.
            others: folders of the finished runs of the same method with other seeds.
        """
        epochs = curves.read_epochs(folder / "epochs.jsonl")
        steps = curves.read_steps(folder / "steps.jsonl")
        best = curves.best_epoch(record)
        gap, verdict = curves.fit_of(epochs, record)
        if gap is None and verdict is None:
            return cls(epochs, steps, best, None, None)
        seeds = [epochs, *(curves.read_epochs(each / "epochs.jsonl") for each in others)]
        return cls(epochs, steps, best, gap, verdict, [each for each in seeds if each])

    def to_dict(self, targets: Sequence[Target]) -> dict[str, Any]:
        """Return plain data."""
        return {
            "epochs": [epoch.to_dict() for epoch in self.epochs],
            "steps": [step.to_dict() for step in self.steps],
            "gap": asdict(self.gap) if self.gap else None,
            "verdict": asdict(self.verdict) if self.verdict else None,
            "targets": [self._reached(*target) for target in targets],
        }

    def _reached(self, curve: curves.Curve, target: float) -> dict[str, Any]:
        reached = curves.time_to_target(self.epochs, curve, target)
        nothing = {"epoch": None, "steps": None, "seconds": None}
        return {
            "metric": str(curve),
            "target": target,
            "best": curves.best_of(self.epochs, curve),
            **(asdict(reached) if reached else nothing),
            "seeds": asdict(found) if (found := self._over_seeds(curve, target)) else None,
        }

    def _over_seeds(self, curve: curves.Curve, target: float) -> stats.Reaching | None:
        """Return when all seeds reached a target, in seconds; None of a single one."""
        if len(self.seeds) < 2:
            return None
        found = [curves.time_to_target(epochs, curve, target) for epochs in self.seeds]
        return stats.reaching([each.seconds if each else None for each in found])

    def print(self, targets: Sequence[Target]) -> None:
        """Print tables and sentences."""
        if self.epochs:
            self._print_epochs()
        if self.steps:
            self._print_steps()
        if self.gap:
            click.echo(f"\ngap      {_gap(self.gap)}")
        if self.verdict:
            click.echo(f"verdict  {self.verdict.kind}: {self.verdict.sentence}")
        if targets:
            click.echo()
        for curve, target in targets:
            click.echo(f"target   {self._target(curve, target)}")
            if (found := self._over_seeds(curve, target)) is not None:
                click.echo(f"         {_seeds(found)}")

    def _print_epochs(self) -> None:
        shown, note = self.epochs, ""
        if len(self.epochs) > MAX_EPOCHS:
            places = _spread(len(self.epochs), MAX_LINES)
            shown = [
                epoch
                for place, epoch in enumerate(self.epochs)
                if place in places or epoch.epoch == self.best_epoch
            ]
            note = f" ({len(shown)} of {len(self.epochs)}; --json has all)"
        click.echo(f"\nepochs{note}")
        # Multi-label tasks, and whoever names a metric to monitor, select by another metric.
        scored = any(epoch.val_score not in (None, epoch.val_accuracy) for epoch in self.epochs)
        # Where layers were frozen at first, how much of the network each epoch trained.
        thawed = len({epoch.trained_parameters for epoch in self.epochs}) > 1
        rows = []
        for epoch in shown:
            row = [str(epoch.epoch), *_numbers(epoch), f"{epoch.images_per_second:,.0f}"]
            if scored:
                row.append("–" if epoch.val_score is None else f"{epoch.val_score:.4f}")
            if thawed:
                row.append(f"{epoch.trained_parameters or 0:,}")
            rows.append([*row, "kept" if epoch.epoch == self.best_epoch else ""])
        more = ["val score"] * scored + ["trained"] * thawed
        _print_table(("epoch", *_HEADINGS, "images/s", *more, ""), rows)

    def _print_steps(self) -> None:
        shown = [self.steps[place] for place in _spread(len(self.steps), MAX_LINES)]
        note = f"{len(self.steps)} points"
        if len(shown) < len(self.steps):
            note = f"{len(shown)} of {note}; --json has all"
        click.echo(f"\nsteps ({note})")
        rows = [
            [str(point.step), str(point.epoch), duration(point.seconds), *_numbers(point)]
            for point in shown
        ]
        _print_table(("step", "epoch", "trained for", *_HEADINGS), rows)

    def _target(self, curve: curves.Curve, target: float) -> str:
        sign = "≤" if curve is curves.Curve.LOSS else "≥"
        what = f"val {curve} {sign} {_quantity(curve, target)}"
        reached = curves.time_to_target(self.epochs, curve, target)
        if reached is None:
            best = curves.best_of(self.epochs, curve)
            if best is None:
                return f"{what}: not known; the curves hold no val {curve}"
            return f"{what}: never reached; the best was {_quantity(curve, best)}"
        steps = "" if reached.steps is None else f", {reached.steps:,} steps"
        epochs = f"{reached.epoch} epoch{'s' * (reached.epoch != 1)}"
        return f"{what}: reached after {epochs}{steps}, {duration(reached.seconds)} of training"


_HEADINGS = ("train loss", "train accuracy", "val loss", "val accuracy")


def _numbers(point: EpochMetrics | StepMetrics) -> list[str]:
    return [
        f"{point.train_loss:.4f}",
        f"{point.train_accuracy:.1%}",
        f"{point.val_loss:.4f}",
        f"{point.val_accuracy:.1%}",
    ]


def _quantity(curve: curves.Curve, value: float) -> str:
    return f"{100 * value:.4g}%" if curve is curves.Curve.ACCURACY else f"{value:.4g}"


def _seeds(found: stats.Reaching) -> str:
    """Return how often the seeds of a method reached a target, and when the middle one did."""
    share = f"{100 * found.share.low:.0f} to {100 * found.share.high:.0f}%"
    text = f"over seeds: reached by {found.reached} of {found.runs} (95%: {share})"
    if not found.reached:
        return text
    said = [
        duration(time) if math.isfinite(time) else "never"
        for time in (found.median, found.low, found.high)
    ]
    return f"{text}; median {said[0]} ({found.level:.0%}: {said[1]} to {said[2]})"


def _gap(gap: curves.Gap) -> str:
    low, high = 100 * gap.low, 100 * gap.high
    text = f"train less val accuracy at epoch {gap.epoch}: {100 * gap.accuracy:+.1f} points"
    text += f" (95%: {low:+.1f} to {high:+.1f})"
    return text if gap.loss is None else f"{text}; val less train loss: {gap.loss:+.4f}"


def _spread(count: int, most: int) -> list[int]:
    """Return at most `most` places below `count`, evenly spaced, the first and the last too."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(("  " + "  ".join(cells)).rstrip())
