"""Charts of the curves of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench import curves
from bench.charts import Axis, Chart, Dot, Line, Mark, Rule, Unit
from bench.charts.scales import has_peaks
from bench.records import EpochMetrics, RunRecord
from bench.text import one_line

Values = Callable[[EpochMetrics], float | None]


def of_run(epochs: Sequence[EpochMetrics], record: RunRecord) -> tuple[Chart, ...]:
    """Return loss and accuracy over epochs, what selects if it is neither, and a varying rate.

    Args:
        epochs: the curves, as far as they came.
        record: of the run: which epoch was kept, and what the losses are.
    """
    if not epochs:
        return ()
    kept = curves.best_epoch(record)
    same = record.environment.get("train_loss_is_log_loss") is not False
    task = record.environment.get("task")
    charts = [
        _chart(
            "loss",
            "Loss",
            Axis("loss", log=has_peaks(e.val_loss for e in epochs)),
            epochs,
            {"train": lambda epoch: epoch.train_loss, "val": lambda epoch: epoch.val_loss},
            kept,
            "" if same else "The loss that is trained is another than the log loss of val.",
        ),
        _chart(
            "accuracy",
            "Exact match" if task == "multi-label" else "Accuracy",
            Axis("exact match" if task == "multi-label" else "accuracy", Unit.SHARE),
            epochs,
            {"train": lambda epoch: epoch.train_accuracy, "val": lambda epoch: epoch.val_accuracy},
            kept,
        ),
    ]
    if any(epoch.val_score not in (None, epoch.val_accuracy, -epoch.val_loss) for epoch in epochs):
        by = one_line(str(record.environment.get("selected_by") or "score")).replace("_", " ")
        axis = Axis(f"val {by}")
        score: dict[str, Values] = {"val": lambda epoch: epoch.val_score}
        charts.append(_chart("score", "What selects", axis, epochs, score, kept))
    rates = [epoch.lr for epoch in epochs]
    if len(set(rates)) > 1:
        axis = Axis("learning rate", log=has_peaks(rates))
        rate: dict[str, Values] = {"learning rate": lambda epoch: epoch.lr}
        note = "Of the last step of each epoch."
        charts.append(_chart("rate", "Learning rate", axis, epochs, rate, 0, note))
    return tuple(charts)


def _chart(
    name: str,
    title: str,
    axis: Axis,
    epochs: Sequence[EpochMetrics],
    of: dict[str, Values],
    kept: int,
    note: str = "",
) -> Chart:
    """Return a chart of values over epochs: train dashed, the epoch that was kept marked."""
    marks: list[Mark] = []
    if kept:
        marks.append(Rule(x=float(kept), label="kept"))
    for number, (series, value) in enumerate(of.items()):
        points = [(epoch.epoch, each) for epoch in epochs if (each := value(epoch)) is not None]
        x, y = (tuple(map(float, part)) for part in zip(*points, strict=True))
        marks.append(Line(x, y, number, series, dashed=series == "train"))
        for epoch, each in points:
            text = f"{each:.1%}" if axis.unit is Unit.SHARE else f"{each:.4g}"
            if len(points) == 1 or epoch == kept:
                which = ", kept" if epoch == kept else ""
                hover = f"{series}: {text} at epoch {epoch}{which}"
                marks.append(Dot(float(epoch), each, number, hover=hover))
    last = float(max(epoch.epoch for epoch in epochs))
    x_axis = Axis("epoch", Unit.COUNT, low=min(1.0, last - 1), high=last if last > 1 else 2.0)
    names = tuple(of) if len(of) > 1 else ()
    return Chart(name, title, x_axis, axis, tuple(marks), names, note)
