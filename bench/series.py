"""What is drawn of a leaderboard: its blocks as panels, each row with the curves of its runs.

This is the choice of data; `bench.figures` draws whatever panels it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import curves, leaderboard
from bench.leaderboard import Block, Leaderboard
from bench.naming import labels_across
from bench.records import EpochMetrics
from bench.rows import METRIC_NAMES, Row, by_rank, succeeded
from bench.store import Store
from bench.tables import COLUMN_NAMES
from bench.text import one_line


@dataclass(frozen=True)
class Trace:
    """The curves of one run.

    Attributes:
        seed: of the run.
        epochs: one an epoch, 1 and following.
        best_epoch: the one whose weights were kept; 0 where none is known.
    """

    seed: int
    epochs: tuple[EpochMetrics, ...]
    best_epoch: int


@dataclass(frozen=True)
class Method:
    """A ranked row and its curves.

    Attributes:
        label: the shortest name that tells it from what it is drawn with.
        row: rank, tie group, score and interval.
        traces: of the runs that succeeded and whose curves are there.
    """

    label: str
    row: Row
    traces: tuple[Trace, ...]

    @property
    def score(self) -> float:
        """The metric on test, mean over seeds."""
        assert self.row.score is not None, "only ranked rows are drawn"
        return self.row.score.mean

    @property
    def length(self) -> int:
        """The last epoch that all its runs have reached; 0 without curves."""
        return min((trace.epochs[-1].epoch for trace in self.traces), default=0)


@dataclass(frozen=True)
class Panel:
    """A block as it is drawn.

    Attributes:
        title: in what it differs from the panels beside it; empty for one that stands alone.
        block: what it was made from.
        methods: the ranked rows, best first.
        failed: how many rows have no score, and so are not among `methods`.
        same_loss: whether train and val loss are the same quantity in all runs.
    """

    title: str
    block: Block
    methods: tuple[Method, ...]
    failed: int
    same_loss: bool


@dataclass(frozen=True)
class Sheet:
    """One picture: a panel, or several that stand side by side to be compared.

    Attributes:
        title: above all panels; its files are called after it.
        panels: all of one dataset and one metric.
        labels: of all rows that are drawn of this dataset anywhere, best first, so that each can
            look alike in all pictures.
    """

    title: str
    panels: tuple[Panel, ...]
    labels: tuple[str, ...]


def sheets_of(board: Leaderboard, store: Store) -> list[Sheet]:
    """Return a sheet for each block, and one for each dataset that has several, side by side.

    Blocks in which nothing succeeded are left out.
    """
    families: dict[tuple[str, str], list[Block]] = {}
    for block in board.blocks:
        if any(row.rank is not None for row in block.rows):
            families.setdefault((block.rows[0].dataset, block.metric), []).append(block)
    sheets = []
    for (dataset, _), blocks in families.items():
        labels = labels_across([row for block in blocks for row in block.rows])
        common = dict(set.intersection(*({*block.details.items()} for block in blocks)))
        panels = [_panel(block, labels, common, store) for block in blocks]
        methods = sorted(
            (method for panel in panels for method in panel.methods), key=lambda each: -each.score
        )
        names = tuple(dict.fromkeys(method.label for method in methods))
        if len(panels) > 1:
            shared = {name: value for name, value in blocks[0].details.items() if name in common}
            sheets.append(Sheet(leaderboard.titled(dataset, shared), tuple(panels), names))
        for block, panel in zip(blocks, panels, strict=True):
            alone = replace(panel, title="")
            sheets.append(Sheet(block.title, (alone,), names))
    return sheets


def _panel(block: Block, labels: dict[int, str], common: dict[str, str], store: Store) -> Panel:
    ranked = by_rank([row for row in block.rows if row.rank is not None])
    names = [one_line(labels[id(row)]) for row in ranked]
    if len({*names}) < len(names):  # one method on several devices
        names = [
            f"{name} on {one_line(row.device)}" for name, row in zip(names, ranked, strict=True)
        ]
    methods = [
        Method(name, row, traces_of(row, store)) for name, row in zip(names, ranked, strict=True)
    ]
    own = {name: value for name, value in block.details.items() if name not in common}
    return panel_of(block, methods, ", ".join(f"{name} {value}" for name, value in own.items()))


def panel_of(block: Block, methods: Sequence[Method], title: str = "") -> Panel:
    """Return a panel of some rows of a block, which have their records.

    Args:
        block: that they belong to.
        methods: the rows and their curves, best first.
        title: in what the block differs from those beside it.
    """
    failed = sum(row.rank is None for row in block.rows)
    same = all(
        record.environment.get("train_loss_is_log_loss") is not False
        for method in methods
        for record in succeeded(method.row)
    )
    return Panel(title, block, tuple(methods), failed, same)


def traces_of(row: Row, store: Store) -> tuple[Trace, ...]:
    """Return the curves of the runs of a row that succeeded and have any."""
    runs = (
        (record, curves.read_epochs(store.folder(record.id) / "epochs.jsonl"))
        for record in succeeded(row)
    )
    return tuple(
        Trace(record.spec.seed, tuple(epochs), curves.best_epoch(record))
        for record, epochs in runs
        if epochs
    )


def measured(panel: Panel) -> tuple[str, str | None, str]:
    """Return how the curve beside the loss is called, and the fields of its train and val values.

    It is the metric that ranks. Of mAP there are curves on val alone, and only where it selects the
    best epoch; else it is the exact match.
    """
    if panel.block.metric == "accuracy":
        return METRIC_NAMES["accuracy"], "train_accuracy", "val_accuracy"
    monitors = {method.row.protocol.get("monitor") for method in panel.methods}
    if monitors <= {None, panel.block.metric}:
        return METRIC_NAMES[panel.block.metric], None, "val_score"
    return COLUMN_NAMES["accuracy"], "train_accuracy", "val_accuracy"
