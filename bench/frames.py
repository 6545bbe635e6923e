"""Records as a table for pandas: one row a run, plain columns of stable types.

| columns | type | what |
|---|---|---|
| `id`, `status`, `error` | string | the run, how it ended, why it did not end well |
| `kind` | string | `run`, `trial` of a search, or `ensemble` of other runs |
| `dataset`, `model`, `weights`, `optimizer`, `schedule`, `loss`, `augmentation` | string | names |
| `seed`, `devices` | Int64 | |
| `mode` | string | `fast` or `deterministic` |
| `device`, `device_name` | string | `cpu` or `cuda`, and which |
| `task` | string | what is said of an image |
| `fingerprint` | string | hash of the dataset's content; equal ones have equal test images |
| `method` | string | hash of all but the seed: what a leaderboard has as one row |
| `study`, `trial`, `until` | string, Int64, Int64 | of tuning: study, trial, epoch of a pause |
| `members` | Int64 | runs that an ensemble is made of; 0 for others |
| `metrics.val.NAME`, `metrics.test.NAME` | float64 | `accuracy`, `log_loss` and others |
| `metrics.val.n`, `metrics.test.n` | Int64 | items |
| `timing.*`, `profile.*` | float64, Int64 | seconds, size and speed of the model |
| `protocol.FIELD` | by the field | each field of the protocol |
| `started_at`, `finished_at` | datetime, UTC | |
| `params.KIND.NAME` | by content | Int64, float64, boolean or string; missing where there is none |

What is missing is `<NA>` or NaN. A metric that is no number, as `per_class`, stays one object.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.protocol import Protocol
from bench.records import Purpose, RunRecord, canonical

if TYPE_CHECKING:
    import pandas as pd

_TEXT, _WHOLE, _REAL, _TRUTH = "string", "Int64", "float64", "boolean"
_MOMENT = "datetime64[us, UTC]"
_IDENTITY = {
    **dict.fromkeys(("id", "kind", "status", "error", "dataset", "model", "weights"), _TEXT),
    **dict.fromkeys(("optimizer", "schedule", "loss", "augmentation"), _TEXT),
    **dict.fromkeys(("seed", "devices"), _WHOLE),
    **dict.fromkeys(
        ("mode", "device", "device_name", "task", "fingerprint", "method", "study"), _TEXT
    ),
    **dict.fromkeys(("trial", "until", "members"), _WHOLE),
}
_METRICS = {
    f"metrics.{split}.{name}": dtype
    for split in ("val", "test")
    for name, dtype in (("accuracy", _REAL), ("log_loss", _REAL), ("n", _WHOLE))
}
_TIMING = {
    **dict.fromkeys(("wall_seconds", "train_seconds", "images_per_second"), _REAL),
    **dict.fromkeys(("epochs", "best_epoch", "steps"), _WHOLE),
    "stopped_early": _TRUTH,
}
_PROFILE = {
    **dict.fromkeys(("parameters", "input_size", "flops", "peak_memory_bytes"), _WHOLE),
    **dict.fromkeys(("latency_ms", "throughput_images_per_second"), _REAL),
}
_MOMENTS = dict.fromkeys(("started_at", "finished_at"), _MOMENT)


def columns() -> dict[str, str]:
    """Return the columns that every table has, in their order, with their types."""
    protocol = Protocol.model_fields
    return {
        **_IDENTITY,
        **_METRICS,
        **{f"timing.{name}": dtype for name, dtype in _TIMING.items()},
        **{f"profile.{name}": dtype for name, dtype in _PROFILE.items()},
        **{f"protocol.{name}": _of_field(field.annotation) for name, field in protocol.items()},
        **_MOMENTS,
    }


def frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return a table with one row a record, in their order; without records it has no rows.

    Further metrics and params follow the columns that every table has, in the order of their names.
    """
    import pandas as pd

    rows = [_row(record) for record in records]
    fixed = columns()
    more = sorted({name for row in rows for name in row} - fixed.keys())
    made = {
        name: pd.Series(_values([row.get(name) for row in rows], dtype), dtype=dtype)
        for name, dtype in fixed.items()
        if dtype != _MOMENT
    }
    for name in _MOMENTS:
        text = [row.get(name) or None for row in rows]
        made[name] = pd.to_datetime(
            pd.Series(text, dtype="object"), utc=True, format="ISO8601", errors="coerce"
        )
        made[name] = made[name].astype(_MOMENT)
    for name in more:
        values = [row.get(name) for row in rows]
        dtype = _of_metric(values) if name.startswith("metrics.") else _of_values(values)
        made[name] = pd.Series(_values(values, dtype), dtype=dtype)
    return pd.DataFrame({name: made[name] for name in [*fixed, *more]})


def _row(record: RunRecord) -> dict[str, Any]:
    spec = record.spec
    names = {kind: ref.name for kind, ref in spec.components.items()}
    kind = "ensemble" if spec.members else "trial" if spec.purpose is Purpose.TRIAL else "run"
    row: dict[str, Any] = {
        **names,
        "id": record.id,
        "kind": kind,
        "status": str(record.status),
        "error": record.error,
        "seed": spec.seed,
        "devices": spec.devices,
        "mode": str(spec.mode),
        "device": spec.device,
        "device_name": record.environment.get("device_name"),
        "task": record.environment.get("task"),
        "fingerprint": spec.key.get("dataset", {}).get("fingerprint"),
        "method": spec.method,
        "study": spec.tuned.get("study"),
        "trial": spec.tuned.get("trial"),
        "until": spec.until,
        "members": len(spec.members),
        "started_at": record.started_at,
        "finished_at": record.finished_at,
    }
    for split, values in record.metrics.items():
        row |= {f"metrics.{split}.{name}": value for name, value in values.items()}
    row |= {f"timing.{name}": record.timing.get(name) for name in _TIMING}
    row |= {f"profile.{name}": record.profile.get(name) for name in _PROFILE}
    row |= {f"protocol.{name}": spec.protocol.get(name) for name in Protocol.model_fields}
    for part, ref in spec.components.items():
        row |= {f"params.{part}.{name}": value for name, value in ref.params.items()}
    return row


def _of_field(annotation: Any) -> str:
    """Return the type of a column that holds values of a field."""
    kinds = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    kinds = [_bare(kind) for kind in kinds]
    known = {bool: _TRUTH, int: _WHOLE, float: _REAL}
    return known.get(kinds[0], _TEXT) if len(kinds) == 1 else _TEXT


def _bare(kind: Any) -> Any:
    return _bare(typing.get_args(kind)[0]) if typing.get_origin(kind) is typing.Annotated else kind


def _is_whole(value: Any) -> bool:
    """Return whether a value is a whole number of 64 bits."""
    return isinstance(value, int | float) and -(2**63) <= value < 2**63 and value == value // 1


def _of_metric(values: Sequence[Any]) -> str:
    return "object" if any(isinstance(value, Mapping | list) for value in values) else _REAL


def _of_values(values: Sequence[Any]) -> str:
    """Return the narrowest type that holds all values; text where they are of several kinds."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return _TRUTH
    if kinds == {int}:
        return _WHOLE if all(v is None or _is_whole(v) for v in values) else _TEXT
    return _REAL if kinds and kinds <= {int, float} else _TEXT


def _values(values: Sequence[Any], dtype: str) -> list[Any]:
    """Return values as a column of a type takes them; a foreign one is missing."""
    if dtype == _TEXT:
        return [v if v is None or isinstance(v, str) else canonical(v) for v in values]
    if dtype == _REAL:
        return [float(v) if isinstance(v, int | float) else float("nan") for v in values]
    if dtype == _WHOLE:
        return [int(v) if _is_whole(v) else None for v in values]
    if dtype == _TRUTH:
        return [v if isinstance(v, bool) else None for v in values]
    return list(values)
