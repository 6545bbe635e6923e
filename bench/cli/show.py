"""`bench show`: all that is known of one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.cli.common import json_option, print_columns, print_json, print_warnings, results_option
from bench.records import EpochMetrics, RunRecord
from bench.store import Store
from bench.text import duration, one_line

LOG_LINES = 20


@click.command("show")
@click.argument("run")
@results_option
@json_option
def command(run: str, results: Path, as_json: bool) -> None:
    """Show one run: settings, metrics, curves, environment.

    RUN is the beginning of its id, as `bench list runs` shows it.
    """
    store = Store(results)
    record = store.find(run)
    print_warnings(store.warnings)
    folder = store.folder(record.id)
    epochs = _epochs(folder / "epochs.jsonl")
    if as_json:
        files = sorted(str(path) for path in folder.iterdir())
        print_json({**record.to_dict(), "epochs": epochs, "files": files})
        return
    _print_record(record)
    for split, metrics in record.metrics.items():
        if isinstance(metrics.get("per_class"), dict):
            _print_classes(split, metrics["per_class"])
    if epochs:
        click.echo("\nepochs")
        headings = ("epoch", "train loss", "train accuracy", "val loss", "val accuracy", "images/s")
        click.echo("  " + "  ".join(headings))
        for epoch in epochs:
            values = (
                f"{epoch['epoch']}",
                f"{epoch['train_loss']:.4f}",
                f"{epoch['train_accuracy']:.1%}",
                f"{epoch['val_loss']:.4f}",
                f"{epoch['val_accuracy']:.1%}",
                f"{epoch['images_per_second']:,.0f}",
            )
            pairs = zip(values, headings, strict=True)
            click.echo("  " + "  ".join(v.rjust(len(heading)) for v, heading in pairs))
    click.echo(f"\nfiles in {folder}")
    for path in sorted(folder.iterdir()):
        click.echo(f"  {path.name}")
    log = folder / "log.txt"
    if record.error and log.exists() and (text := log.read_text("utf-8", "replace").strip()):
        click.echo(f"\nlast lines of {log}")
        for line in text.splitlines()[-LOG_LINES:]:
            click.echo(f"  {one_line(line)}")


def _print_record(record: RunRecord) -> None:
    spec = record.spec
    rows = [("run", record.id), ("status", str(record.status))]
    if record.error:
        rows.append(("error", record.error))
    for kind, ref in spec.components.items():
        params = ", ".join(f"{name}={value}" for name, value in ref.params.items())
        rows.append((kind, f"{ref.name} ({params})" if params else ref.name))
    protocol = {k: v for k, v in spec.protocol.items() if v is not None}
    rows.append(("protocol", ", ".join(f"{k}={v}" for k, v in protocol.items())))
    if spec.pinned:
        rows.append(("pinned", ", ".join(f"{name}={protocol[name]}" for name in spec.pinned)))
    rows.append(("seed", str(spec.seed)))
    for split, metrics in record.metrics.items():
        rows.append((split, _numbers(metrics)))
    for name, value in record.timing.items():
        if value is None:  # a number that was not finite
            text = _value(value)
        else:
            text = duration(value) if name.endswith("_seconds") else f"{value:,.6g}"
        rows.append((name.replace("_", " "), text))
    rows += [(name.replace("_", " "), _value(value)) for name, value in record.profile.items()]
    for name, value in record.environment.items():
        rows.append((name.replace("_", " "), _value(value)))
    rows += [("started", record.started_at), ("finished", record.finished_at)]
    print_columns(("", ""), rows)


def _numbers(metrics: Any) -> str:
    plain = {name: value for name, value in metrics.items() if not isinstance(value, dict)}
    return ", ".join(f"{name} {_value(value)}" for name, value in plain.items())


def _print_classes(split: str, table: dict[str, dict[str, Any]]) -> None:
    """Print what a split says of each class, aligned."""
    columns = list(next(iter(table.values()), {}))
    rows = [["class", *(column.replace("_", " ") for column in columns)]]
    rows += [
        [one_line(name, 40), *(_value(v) for v in row.values())] for name, row in table.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    click.echo(f"\n{split}, by class")
    for name, *values in rows:
        cells = [v.rjust(width) for v, width in zip(values, widths[1:], strict=True)]
        click.echo("  " + "  ".join([name.ljust(widths[0]), *cells]))


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    return str(value)


def _epochs(path: Path) -> list[dict[str, Any]]:
    """Read the curves up to a line that was cut or is none of ours."""
    epochs: list[dict[str, Any]] = []
    try:
        for line in path.read_text("utf-8", "replace").splitlines():
            metrics = EpochMetrics(**json.loads(line)).to_dict()
            if not all(isinstance(value, int | float) for value in metrics.values()):
                break
            epochs.append(metrics)
    except (OSError, ValueError, TypeError):
        pass
    return epochs
