"""The plan of an experiment as people see it: a line for each cell, and what it will take."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from bench import estimate
from bench.config import ExperimentConfig
from bench.forecast import PlannedRun, tuning_seconds
from bench.records import RunSpec
from bench.text import duration

MAX_PLAN_ROWS = 40


def plan_table(planned: Sequence[PlannedRun]) -> Table:
    """Return the matrix of an experiment, one line for each cell."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("dataset", "model", "optimizer", "protocol", "seeds", "finished", "estimate"):
        table.add_column(
            heading, justify="right" if heading in ("finished", "estimate") else "left"
        )
    cells: dict[str, list[PlannedRun]] = {}
    for run in planned:
        cells.setdefault(run.spec.cell, []).append(run)
    shown = ("epochs", "batch_size", "schedule")
    varying = [
        name
        for name in planned[0].spec.protocol
        if name not in shown and len({repr(run.spec.protocol[name]) for run in planned}) > 1
    ]
    for runs in list(cells.values())[:MAX_PLAN_ROWS]:
        spec = runs[0].spec
        seconds = sum(run.seconds for run in runs)
        cached = sum(run.cached for run in runs)
        row = [
            spec.dataset.name,
            spec.model_label,
            _optimizer(spec),
            ", ".join(
                [
                    f"{spec.protocol['epochs']} epochs, batch {spec.protocol['batch_size']}",
                    str(spec.protocol["schedule"]),
                    *(f"{name.replace('_', '-')} {spec.protocol[name]}" for name in varying),
                    *([f"{spec.devices} devices"] if spec.devices > 1 else []),
                ]
            ),
            str(len(runs)),
            f"{cached} of {len(runs)}" if cached else "–",
            duration(seconds) if seconds else "–",
        ]
        table.add_row(*(Text(cell) for cell in row))
    if len(cells) > MAX_PLAN_ROWS:
        table.add_row(Text(f"… and {len(cells) - MAX_PLAN_ROWS} more"))
    return table


def plan_summary(planned: Sequence[PlannedRun], config: ExperimentConfig) -> str:
    """Return the plan in one line: runs, what is finished, time and place needed."""
    text = _runs_summary(planned, config.workers)
    if config.budget is None:
        return text
    cells = list({run.spec.cell: run for run in reversed(planned)}.values())
    per_cell = (
        f"{config.budget} for each of {len(cells)} cells" if len(cells) > 1 else str(config.budget)
    )
    seconds = [tuning_seconds(run, config) for run in cells]
    device = cells[0].spec.device
    total = estimate.total_seconds(seconds, device, config.workers) - estimate.START_SECONDS[device]
    return f"{text}; tuning with {per_cell} takes up to about {duration(total)} more"


def _runs_summary(planned: Sequence[PlannedRun], workers: int) -> str:
    open_runs = [run for run in planned if not run.cached]
    text = f"{len(planned)} runs" if len(planned) != 1 else "1 run"
    if not open_runs:
        return f"{text}, all finished before"
    if len(open_runs) < len(planned):
        text += f", {len(planned) - len(open_runs)} finished before"
    begun = sum(run.begun for run in open_runs)
    if begun:
        text += f", {begun} begun before and continued"
    device = open_runs[0].spec.device
    total = estimate.total_seconds([run.seconds for run in open_runs], device, workers)
    return f"{text}, about {duration(total)} on {device}"


def _optimizer(spec: RunSpec) -> str:
    return (
        f"{spec.optimizer.name} (lr {spec.optimizer.params['lr']:g})"
        if isinstance(spec.optimizer.params.get("lr"), float)
        else spec.optimizer.name
    )
