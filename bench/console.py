"""What a person sees while runs are under way: itself an observer of the plugin door's hooks.

Progress goes to stderr: a live table on a terminal, plain lines where it is piped. Results go to
stdout.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console as RichConsole
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench import comparison, tables
from bench.config import ExperimentConfig
from bench.forecast import PlannedRun
from bench.hookspecs import hookimpl
from bench.leaderboard import Block, Leaderboard
from bench.plan_table import plan_summary, plan_table
from bench.records import EpochMetrics, Purpose, RunRecord, RunSpec, RunStatus
from bench.rows import METRIC_NAMES
from bench.text import duration, one_line

PIPED_WIDTH = 160
PROGRESS_SECONDS = 10.0
"""How often a piped preparation says how far it is."""


@dataclass
class _Active:
    """A run on the live table.

    Attributes:
        before: epochs that an earlier attempt at the run had finished.
    """

    spec: RunSpec
    started: float
    metrics: EpochMetrics | None = None
    before: int = 0


class Console:
    """Shows the plan, the progress and the failures of an experiment on stderr."""

    def __init__(self, *, live: bool) -> None:
        self._rich = terminal(sys.stderr)
        self._active: dict[str, _Active] = {}
        self._preparing: dict[tuple[str, str], tuple[float, int, int, float]] = {}
        self._described: set[tuple[str, str]] = set()
        self._total = 0
        self._ended = 0
        self._trials = 0
        self._live: Live | None = None
        if live and self._rich.is_terminal:
            self._live = Live(
                console=self._rich,
                get_renderable=self._table,
                refresh_per_second=4,
                transient=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def plan(self, planned: Sequence[PlannedRun], config: ExperimentConfig) -> None:
        """Show the matrix of runs, what is finished already, and when it will be done."""
        self._total = sum(not run.cached for run in planned)
        self._rich.print(plan_table(planned))
        self._rich.print(Text(plan_summary(planned, config)))
        if self._live is not None and self._total:
            self._live.start()

    def message(self, text: str) -> None:
        """Print one line."""
        self._rich.print(Text(one_line(text)))

    def progress(self, label: str, what: str, done: int, total: int) -> None:
        """Show how far the preparation of a dataset is: how many images were `what`."""
        key = (label, what)
        started, _, _, told = self._preparing.get(key, (time.monotonic(), 0, 0, 0.0))
        now = time.monotonic()
        if self._live is None and (now - max(told, started) > PROGRESS_SECONDS or done == total):
            told = now
            self.message(f"  {label}: {done:,} of {total:,} images {what}")
        if done == total:
            self._preparing.pop(key, None)
            if self._live is not None:
                spent = duration(now - started)
                self.message(f"  {label}: {total:,} images {what} in {spent}")
        else:
            self._preparing[key] = (started, done, total, told)

    def sized(self, spec: RunSpec, facts: dict[str, Any]) -> None:
        """Print what the rehearsal of a cell found."""
        size = facts["input_size"]
        how = "" if spec.interpolation == "bilinear" else f", {spec.interpolation}"
        wanted = spec.image_size
        chosen = "" if wanted in (None, size) else f" (it takes no {wanted} px)"
        data = (spec.source, facts["normalized_by"])
        if data not in self._described:
            self._described.add(data)
            counts = ", ".join(f"{split} {count:,}" for split, count in facts["counts"].items())
            self.message(
                f"  {spec.dataset.name}: {facts['task']}, {counts}; normalised by "
                f"{facts['normalized_by']}; augmentation `{spec.augmentation.name}`; images in "
                f"{PLACES[facts['placement']]}"
            )
            self._warn_of_classes(spec, facts)
        self.message(
            f"  {spec.model_label} with {spec.optimizer.name} on {spec.dataset.name}: "
            f"{size}×{size} px{how}{chosen}, {tables.count(facts['parameters'])} parameters, "
            f"{duration(facts['step_seconds'])} a step"
        )
        if facts["weights"]:
            assert spec.weights is not None
            self.message(f"    starts from `{spec.weights.name}`: {facts['weights']}")

    @hookimpl
    def run_started(self, run: RunSpec) -> None:
        """Add a run to the table."""
        self._active[run.id] = _Active(run, time.monotonic())
        if self._live is None and run.purpose is Purpose.FINAL:
            self.message(f"{self._progress()} {run.label}: started ({run.id})")

    @hookimpl
    def epoch_finished(self, run: RunSpec, metrics: EpochMetrics) -> None:
        """Update a run's row, or print a line."""
        active = self._active.get(run.id)
        if active is not None:
            if active.metrics is None:
                active.before = metrics.epoch - 1
            active.metrics = metrics
        # Of trials there are many; a line at the end of each is enough.
        if self._live is None and active is not None and run.purpose is Purpose.FINAL:
            self.message(
                f"{self._progress()} {run.label}: epoch {metrics.epoch}/{metrics.epochs}, "
                f"loss {metrics.train_loss:.4f}, val accuracy {metrics.val_accuracy:.1%}, "
                f"{metrics.images_per_second:,.0f} images/s, {self._left(active)} left"
            )

    @hookimpl
    def run_finished(self, record: RunRecord) -> None:
        """Print how a run ended; a failure at once and with its cause."""
        self._active.pop(record.id, None)
        is_trial = record.spec.purpose is Purpose.TRIAL
        self._ended += not is_trial
        self._trials += is_trial
        self._total = max(self._total, self._ended)  # what a study has chosen comes on top
        before = "·" if is_trial else self._progress()
        line = Text(f"{before} {record.spec.label}: ")
        if record.status is RunStatus.OK:
            line.append(_said_of(record))
        else:
            line.append(str(record.status), style="bold red")
            line.append(f": {record.error} ({record.id})")
        self._rich.print(line)

    def _warn_of_classes(self, spec: RunSpec, facts: dict[str, Any]) -> None:
        for split, count in facts["lacking"].items():
            self.message(
                f"  warning: {split} of `{spec.dataset.name}` has no image of {count} of the "
                f"{facts['classes']} classes"
            )

    def _progress(self) -> str:
        return f"[{self._ended}/{self._total}]" if self._total else "·"

    def _left(self, active: _Active) -> str:
        metrics = active.metrics
        if metrics is None:
            return "–"
        spent = time.monotonic() - active.started
        # A run that goes on from a saved state has epochs that were trained before.
        done = metrics.epoch - active.before
        return duration(spent / done * (metrics.epochs - metrics.epoch))

    def _preparation(self) -> Table:
        """Return a bar for each dataset that is being read."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for (label, what), (started, done, total, _) in list(self._preparing.items()):
            spent = time.monotonic() - started
            left = duration(spent / done * (total - done)) if done else "–"
            bar = ProgressBar(total=total, completed=done, width=40)
            table.add_row(
                Text(label), bar, Text(f"{done:,} of {total:,} images {what}, {left} left")
            )
        return table

    def _table(self) -> Table | Text:
        """Return what the live display shows: the runs under way and what is left in all."""
        if self._preparing:
            return self._preparation()
        if not self._active:
            return Text("")
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for heading in ("run", "epoch", "loss", "val accuracy", "images/s", "left"):
            table.add_column(heading, justify="left" if heading == "run" else "right")
        for active in list(self._active.values()):
            metrics = active.metrics
            epochs = active.spec.protocol["epochs"]
            values = [f"0/{epochs}", "–", "–", "–"]
            if metrics is not None:
                values = [
                    f"{metrics.epoch}/{epochs}",
                    f"{metrics.train_loss:.4f}",
                    f"{metrics.val_accuracy:.1%}",
                    f"{metrics.images_per_second:,.0f}",
                ]
            cells = [active.spec.label, *values, self._left(active)]
            table.add_row(*(Text(cell) for cell in cells))
        trials = f", {self._trials} of trials" if self._trials else ""
        ended = f"{self._ended} of {self._total} runs finished{trials}"
        table.add_row(Text(ended, style="dim"))
        return table


def _said_of(record: RunRecord) -> str:
    """Return how a run ended that ended well: on test, or on val where it is a trial."""
    metric = comparison.metric_of(record)
    split = "val" if record.spec.purpose is Purpose.TRIAL else "test"
    said = record.metrics[split]
    # The times of a run that goes on from an earlier rung include those of that one.
    seconds = duration(float(record.timing["wall_seconds"]))
    epochs = record.spec.protocol["epochs"]
    until = f" after {record.spec.last_epoch} of {epochs} epochs" if record.spec.until else ""
    return f"{split} {METRIC_NAMES[metric]} {said[metric]:.1%} of {said['n']:,}{until}, {seconds}"


PLACES = {
    "device": "the device's memory",
    "pinned": "pinned memory",
    "memory": "memory",
    "map": "a memory map",
    "stream": "their files",
}


def terminal(file: IO[str]) -> RichConsole:
    """Return a rich console for a stream, wide where it is piped into a file."""
    wide = None if file.isatty() else PIPED_WIDTH
    return RichConsole(file=file, width=wide, highlight=False, markup=False, emoji=False)


def print_leaderboard(board: Leaderboard) -> None:
    """Print every block as a table on stdout, its answer below it."""
    console = terminal(sys.stdout)
    for number, block in enumerate(board.blocks):
        if number:
            console.print()
        for table in _block_tables(block, console.width):
            console.print(table)
        note = tables.footnote(block)
        if note:
            console.print(Text(note, style="dim"))
        console.print(Text(one_line(block.answer, 2000), style="bold"))
    if not board.blocks:
        console.print(
            "no finished runs here yet; `bench run --models resnet50,mobilenet` makes some"
        )


GAP = 3  # blanks between two columns, padding and divider
OPTIONAL_COLUMNS = ("input", "parameters", "images/s", "seeds", "train s", "val", "tuning")
"""Columns that give way on a narrow terminal, the first of them first."""
_NAMES = ("rank", "model", "optimizer")
"""What tells rows apart."""


def _block_tables(block: Block, width: int) -> Iterator[Table]:
    """Yield a block as a table that fits the terminal: columns give way, names never do.

    Metrics that were asked for give way to none; where they leave no room, they follow in tables of
    their own, of the same rows.
    """
    rows = [tables.cells(row) for row in block.rows]
    columns = tables.headings(block)
    if all(row["status"] == "ok" for row in rows):
        del columns["status"]
    # A cause may be long and is folded; it needs some room, but not all of its length.
    room = {
        name: GAP + max(len(heading), *(min(len(row.get(name, "–")), 40) for row in rows))
        for name, heading in columns.items()
    }
    asked = [*dict.fromkeys(name for row in block.rows for name in row.asked)]
    # Rows that saw images at different sizes are to say so, whatever else has to go.
    several = len({row["input"] for row in rows} - {"–"}) > 1
    first = _fitting(room, width, OPTIONAL_COLUMNS[1:] if several else OPTIONAL_COLUMNS)
    if asked and sum(room[name] for name in first) > width:
        main = {name: space for name, space in room.items() if name not in asked}
        first = _fitting(main, width, OPTIONAL_COLUMNS[1:] if several else OPTIONAL_COLUMNS)
    title = Text(one_line(block.title), style="bold")
    yield _table(title, {name: columns[name] for name in first}, room, rows, asked)
    left = [name for name in asked if name not in first]
    names = sum(room[name] for name in _NAMES)
    while left:
        some = [left.pop(0)]
        while left and names + sum(room[name] for name in [*some, left[0]]) <= width:
            some.append(left.pop(0))
        chosen = {name: columns[name] for name in (*_NAMES, *some)}
        yield _table(None, chosen, room, rows, asked)


def _fitting(room: Mapping[str, int], width: int, optional: Iterable[str]) -> list[str]:
    """Return the columns that are left once as many gave way as have to."""
    kept = [*room]
    for name in optional:
        if sum(room[each] for each in kept) <= width:
            break
        if name in kept:
            kept.remove(name)
    return kept


def _table(
    title: Text | None,
    columns: Mapping[str, str],
    room: Mapping[str, int],
    rows: Sequence[Mapping[str, str]],
    asked: Collection[str],
) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        header_style="dim",
        box=SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
    )
    for name, heading in columns.items():
        left = name in (*_NAMES[1:], "test", "status") or name in asked
        table.add_column(
            Text(one_line(heading)),
            justify="left" if left else "right",
            overflow="fold",
            min_width=None if name == "status" else room[name] - GAP,
        )
    for row in rows:
        table.add_row(*(Text(one_line(row.get(name, "–"))) for name in columns))
    return table
