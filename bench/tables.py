"""A leaderboard as text: cells, Markdown, CSV, and the files of a results folder."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from bench import files
from bench.leaderboard import Block, Leaderboard, Row, percent
from bench.records import canonical
from bench.store import Store
from bench.text import csv_cell, markdown_cell


def write(board: Leaderboard, store: Store) -> None:
    """Write `leaderboard.md`, `leaderboard.csv` and `leaderboard.json` into the store."""
    files.write_text(store.root / "leaderboard.md", to_markdown(board))
    files.write_text(store.root / "leaderboard.csv", to_csv(board))
    files.write_json(store.root / "leaderboard.json", board.to_dict())


HEADINGS = (
    "rank",
    "model",
    "optimizer",
    "test accuracy",
    "n",
    "seeds",
    "val accuracy",
    "train s",
    "images/s",
    "parameters",
    "input",
    "status",
)


def cells(row: Row) -> list[str]:
    """Return a row as text, one entry for each of `HEADINGS`."""
    return [
        "–" if row.rank is None else str(row.rank),
        row.name,
        row.optimizer_name,
        percent(row.accuracy) if row.accuracy else "–",
        f"{row.n:,}" if row.n else "–",
        str(row.seeds),
        f"{row.val_accuracy:.1%}" if row.val_accuracy is not None else "–",
        f"{row.train_seconds:.1f}" if row.train_seconds is not None else "–",
        f"{row.images_per_second:,.0f}" if row.images_per_second is not None else "–",
        count(row.parameters) if row.parameters is not None else "–",
        f"{row.input_size} px" if row.input_size else "–",
        "; ".join(row.errors) if row.errors else "ok",
    ]


def count(number: int) -> str:
    """Return a large number as `23.5M`."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{suffix}"
    return str(number)


def to_markdown(board: Leaderboard) -> str:
    """Return the blocks as Markdown tables, every name escaped."""
    parts = []
    for block in board.blocks:
        lines = [f"## {markdown_cell(block.title)}", ""]
        lines.append("| " + " | ".join(HEADINGS) + " |")
        lines.append("|" + "---|" * len(HEADINGS))
        for row in block.rows:
            lines.append("| " + " | ".join(markdown_cell(cell) for cell in cells(row)) + " |")
        lines += ["", markdown_cell(block.answer), "", markdown_cell(footnote(block))]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts) + "\n"


CSV_COLUMNS = (
    "rank",
    "tie_group",
    "dataset",
    "block",
    "model",
    "optimizer",
    "params",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "n",
    "noise",
    "seeds",
    "failed",
    "val_accuracy",
    "log_loss",
    "train_seconds",
    "images_per_second",
    "latency_ms",
    "parameters",
    "flops",
    "input_size",
    "device",
    "mode",
    "errors",
)


def to_csv(board: Leaderboard) -> str:
    """Return one line for each row, numbers in full, text safe for spreadsheets."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for block in board.blocks:
        for row in block.rows:
            accuracy = row.accuracy
            values = {
                **{name: getattr(row, name, None) for name in CSV_COLUMNS},
                "block": block.title,
                "params": canonical(row.params),
                "accuracy": accuracy.mean if accuracy else None,
                "accuracy_low": accuracy.low if accuracy else None,
                "accuracy_high": accuracy.high if accuracy else None,
                "errors": "; ".join(row.errors),
            }
            writer.writerow([_csv_value(values[name]) for name in CSV_COLUMNS])
    return buffer.getvalue()


def footnote(block: Block) -> str:
    """Return what a reader must know of the numbers in a block."""
    ranked = [row for row in block.rows if row.rank is not None]
    if not ranked:
        return ""
    noise = {row.noise for row in ranked}
    meanings = {
        "items": "95 % Wilson interval over test items, for one network",
        "seeds": "95 % t interval over seeds",
    }
    text = "; ".join(meanings[kind] for kind in sorted(noise))
    if block.gap is not None:
        text += f". Gaps under about {100 * block.gap:.1f} points are beyond this test set"
        text += " with one seed."
    shared = {r.environment.get("shared_device") for row in ranked for r in row.records}
    if True in shared:
        text += " Some runs shared their device: do not compare their times."
    return text


def _csv_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return csv_cell(value) if isinstance(value, str) else value
