"""A leaderboard as text: cells, Markdown, CSV, and the files of a results folder."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from bench import files, stats
from bench.combining import SELECTED
from bench.leaderboard import Block, Leaderboard
from bench.records import canonical
from bench.rows import METRIC_NAMES, Row, Tuning, percent
from bench.scoring import Measured
from bench.store import Store
from bench.text import csv_cell, duration, markdown_cell


def write(board: Leaderboard, store: Store) -> None:
    """Write `leaderboard.md`, `leaderboard.csv` and `leaderboard.json` into the store."""
    files.write_text(store.root / "leaderboard.md", to_markdown(board))
    files.write_text(store.root / "leaderboard.csv", to_csv(board))
    files.write_json(store.root / "leaderboard.json", board.to_dict())


HEADINGS = (
    "rank",
    "model",
    "optimizer",
    "test",
    "n",
    "seeds",
    "tuning",
    "val",
    "train s",
    "images/s",
    "parameters",
    "input",
    "status",
)


COLUMN_NAMES = {
    "accuracy": "exact match",
    "f1_macro": "macro F1",
    "f1_micro": "micro F1",
}
"""How tables call further metrics; beside mAP, accuracy is that of the whole set of labels."""


def headings(block: Block) -> dict[str, str]:
    """Return the columns of a block, each with the heading it has there."""
    metric = METRIC_NAMES[block.metric]
    result = {}
    tuned = any(row.tuning for row in block.rows)
    for name in HEADINGS:
        if name == "tuning" and not tuned:
            continue
        result[name] = f"{name} {metric}" if name in ("test", "val") else name
        if name == "val":
            others = dict.fromkeys(other for row in block.rows for other in row.others)
            result |= {other: COLUMN_NAMES.get(other, _spoken(other)) for other in others}
            result |= {asked: asked for row in block.rows for asked in row.asked}
    return result


def _spoken(metric: str) -> str:
    return metric.removeprefix("accuracy_").replace("_", " ")


def cells(row: Row) -> dict[str, str]:
    """Return a row as text by column: each of `HEADINGS`, and the row's further metrics."""
    about = "~" if row.shared else ""
    values = [
        "–" if row.rank is None else str(row.rank),
        row.name,
        row.optimizer_name,
        percent(row.score) if row.score else "–",
        f"{row.n:,}" if row.n else "–",
        str(row.seeds),
        _tuning(row.tuning) if row.tuning else "–" if row.members else "default",
        f"{row.val_score:.1%}{'*' if row.val_is == SELECTED else ''}"
        if row.val_score is not None
        else "–",
        f"{about}{row.train_seconds:.1f}" if row.train_seconds is not None else "–",
        f"{about}{row.images_per_second:,.0f}" if row.images_per_second is not None else "–",
        count(row.parameters) if row.parameters is not None else "–",
        f"{row.input_size} px" if row.input_size else "–",
        "; ".join(row.errors) if row.errors else "ok",
    ]
    others = {name: f"{value:.1%}" for name, value in row.others.items()}
    asked = {name: measured(found) for name, found in row.asked.items()}
    return {**dict(zip(HEADINGS, values, strict=True)), **others, **asked}


def measured(found: Measured) -> str:
    """Return a metric with its interval: a share in percent, else as a number."""
    interval = found.interval
    if found.metric.bounds == (0, 1):
        return percent(interval)
    return f"{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _tuning(tuning: Tuning) -> str:
    """Return what a row's search spent, which its study's file says."""
    if not tuning.trials:
        return "its study is lost"
    lost = [
        f"{number} {word}"
        for number, word in ((tuning.failed, "failed"), (tuning.pruned, "pruned"))
        if number
    ]
    trials = f"{tuning.trials} trials" + (f" ({', '.join(lost)})" if lost else "")
    spent = f"{trials}, {tuning.epochs:,} epochs, {duration(tuning.seconds)}"
    return spent if tuning.trial else f"default kept after {spent}"


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
        columns = headings(block)
        lines.append("| " + " | ".join(columns.values()) + " |")
        lines.append("|" + "---|" * len(columns))
        for row in block.rows:
            shown = cells(row)
            values = (markdown_cell(shown.get(column, "–")) for column in columns)
            lines.append("| " + " | ".join(values) + " |")
        lines += ["", markdown_cell(block.answer), "", markdown_cell(footnote(block))]
        parts.append("\n".join(lines).rstrip())
    parts += [markdown_cell(str(standings)) for standings in board.standings]
    return "\n\n".join(parts) + "\n"


CSV_COLUMNS = (
    "rank",
    "tie_group",
    "dataset",
    "block",
    "model",
    "optimizer",
    "params",
    "metric",
    "score",
    "score_low",
    "score_high",
    "n",
    "noise",
    "members",
    "seeds",
    "failed",
    "val_score",
    "log_loss",
    "train_seconds",
    "images_per_second",
    "latency_ms",
    "parameters",
    "flops",
    "input_size",
    "device",
    "mode",
    "tuned",
    "trials",
    "trials_failed",
    "trials_pruned",
    "tuning_epochs",
    "tuning_seconds",
    "errors",
)


def to_csv(board: Leaderboard) -> str:
    """Return one line for each row, numbers in full, text safe for spreadsheets."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    asked = [*dict.fromkeys(name for row in board.rows for name in row.asked)]
    writer.writerow([*CSV_COLUMNS, *(csv_cell(name) for name in _asked_columns(asked))])
    for block in board.blocks:
        for row in block.rows:
            score = row.score
            values = {
                **{name: getattr(row, name, None) for name in CSV_COLUMNS},
                "block": block.title,
                "params": canonical(row.params),
                "members": max(row.members, default=None),
                "score": score.mean if score else None,
                "score_low": score.low if score else None,
                "score_high": score.high if score else None,
                **_tuning_columns(row),
                "errors": "; ".join(row.errors),
            }
            plain = [values[name] for name in CSV_COLUMNS]
            for name in asked:
                found = row.asked.get(name)
                interval = found.interval if found else stats.Interval(*3 * [math.nan])
                plain += [interval.mean, interval.low, interval.high]
            writer.writerow([_csv_value(value) for value in plain])
    return buffer.getvalue()


def _asked_columns(names: Iterable[str]) -> list[str]:
    return [column for name in names for column in (name, f"{name}_low", f"{name}_high")]


def _tuning_columns(row: Row) -> dict[str, Any]:
    tuning = row.tuning or Tuning("", 0)
    spent = {
        "trials": tuning.trials,
        "trials_failed": tuning.failed,
        "trials_pruned": tuning.pruned,
        "tuning_epochs": tuning.epochs,
        "tuning_seconds": tuning.seconds,
    }
    is_lost = row.is_tuned and not tuning.trials
    return {"tuned": row.is_tuned, **(dict.fromkeys(spent) if is_lost else spent)}


def footnote(block: Block) -> str:
    """Return what a reader must know of the numbers in a block."""
    ranked = [row for row in block.rows if row.rank is not None]
    if not ranked:
        return ""
    noise = {row.noise for row in ranked}
    wilson = block.metric == "accuracy"
    items = "Wilson interval" if wilson else "bootstrap interval"
    meanings = {
        "items": f"95 % {items} over test items, for one network",
        "seeds": "95 % t interval over seeds",
    }
    text = "; ".join(meanings[kind] for kind in sorted(noise))
    if block.gap is not None:
        text += f". Gaps under about {100 * block.gap:.1f} points are beyond this test set"
        text += " with one seed"
        if block.gap_of_methods is not None:
            text += (
                f", gaps of the best two under about {100 * block.gap_of_methods:.1f} with theirs"
            )
            if len(ranked) > 2:
                text += " if these alone were compared"
        text += "."
    if any(found.noise == "items" for row in ranked for found in row.asked.values()):
        text += " Of further metrics that are no share of the items, the interval over items comes"
        text += " from a standard error, bootstrapped where the metric is no mean."
    if _is_overtaken(ranked):
        text += (
            " Ranks count what can be told apart: a row of wide noise stays with the rows before"
        )
        text += " it, above some of a better mean."
    if block.sort != "score":
        text += (
            f" Sorted by {block.sort}; ranks are those of the test {METRIC_NAMES[block.metric]}."
        )
    if any(row.shared for row in ranked):
        text += " ~ Runs that shared their device: do not compare their times."
    if any(row.val_is == SELECTED for row in block.rows):
        text += " * Members were chosen on val: that val score is too good."
    if block.unusable:
        count = len(block.unusable)
        which = (
            "1 run cannot be used: its row is"
            if count == 1
            else (f"{count:,} runs cannot be used: their rows are")
        )
        text += f" The predictions of {which} compared without, which tells less apart."
    return text


def _is_overtaken(ranked: Sequence[Row]) -> bool:
    """Return whether a row has a better mean than one of a better rank."""
    means: dict[int, list[float]] = {}
    for row in ranked:
        if row.rank is not None and row.score is not None:
            means.setdefault(row.rank, []).append(row.score.mean)
    groups = [means[rank] for rank in sorted(means)]
    return any(max(later) > min(before) for before, later in pairwise(groups))


def _csv_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return csv_cell(value) if isinstance(value, str) else value
