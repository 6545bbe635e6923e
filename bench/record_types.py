"""Of which types the values in `record.json` are: somebody may have written it by hand.

What no code relies on is free: plugins and later versions may tell more of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from bench.specs import Task

__all__ = ["check"]

_Types = Mapping[str, Any]

_TEXT, _WHOLE = (str,), (int,)
_TEXT_OR_NONE = (str, NoneType)
_NUMBER = (int, float, NoneType)
_FREE: _Types = {}
_OWN = "*"
"""Stands for each value that its table does not name."""

_TYPES: _Types = {
    "error": _TEXT_OR_NONE,
    "protocol": {"epochs": _WHOLE, "batch_size": _WHOLE},
    "pinned": _FREE,
    "seed": _WHOLE,
    "device": _TEXT,
    "devices": _WHOLE,
    "data_dir": _TEXT_OR_NONE,
    "exclude": _TEXT_OR_NONE,
    "files": _TEXT_OR_NONE,
    "image_size": (int, NoneType),
    "until": (int, NoneType),
    "tuned": {"study": _TEXT, "trial": _WHOLE},
    "draw": {"resample": _TEXT, "round": _WHOLE},
    "origin": {"files": [_TEXT]},
    "members": [_TEXT],
    "key": {"dataset": {"fingerprint": _TEXT_OR_NONE}, "device": _TEXT},
    "metrics": {_OWN: {"n": _WHOLE, _OWN: (*_NUMBER, dict)}},
    "timing": {"stopped_early": (bool,), _OWN: _NUMBER},
    "profile": dict.fromkeys(
        (
            *("parameters", "trainable_parameters", "flops", "input_size", "input_channels"),
            *("latency_ms", "latency_low_ms", "latency_high_ms", "peak_memory_bytes"),
            *("throughput_images_per_second", "throughput_low", "throughput_high"),
        ),
        _NUMBER,
    ),
    "environment": {"task": _TEXT_OR_NONE, "classes": [_TEXT]},
}
_SHARES = ("accuracy", "mean_average_precision")
"""The metrics that rank, which lie between 0 and 1."""


def check(data: Mapping[str, Any]) -> None:
    """Look through the content of a record; what it lacks is no matter of types.

    Raises:
        TypeError: a value is of another type than the code relies on.
        ValueError: a number that is out of its range, or a task that there is none of.
    """
    _check(data, _TYPES, "")
    if missing := {*data["pinned"]} - {*data["protocol"]}:
        raise ValueError(f"`protocol` lacks `{min(missing)}`, which `pinned` has")
    if "epochs" not in data["protocol"]:
        raise ValueError("`protocol` lacks `epochs`")
    Task(data["environment"].get("task") or Task.MULTI_CLASS)
    for split, values in data["metrics"].items():
        if values and values.get("n", 0) < 1:
            raise ValueError(f"`metrics.{split}` has no number of items `n`")
        for name in _SHARES:
            value = values.get(name)
            if value is not None and (value < 0 or value > 1):  # NaN is neither: a run without one
                raise ValueError(f"`metrics.{split}.{name}` is {value!r}, not from 0 to 1")


def _check(value: Any, wanted: Any, place: str) -> None:
    """Look at a value: one of some types, a list of such values, or a table of them by name.

    Raises:
        TypeError: it is none.
        OverflowError: it is a number that no machine can compute with.
    """
    if isinstance(wanted, tuple):
        # By `type`, since a bool is an int too; with NaN and infinities, which are floats.
        if type(value) not in wanted:
            raise TypeError(f"`{place}` is of the wrong type: {value!r:.40}")
        if type(value) is int:
            float(value)
    elif isinstance(wanted, list):
        if not isinstance(value, list):
            raise TypeError(f"`{place}` is no list: {value!r:.40}")
        for each in value:
            _check(each, wanted[0], place)
    elif not isinstance(value, dict):
        raise TypeError(f"`{place}` is no table: {value!r:.40}")
    elif _OWN in wanted:
        for name, each in value.items():
            _check(each, wanted.get(name, wanted[_OWN]), f"{place}.{name}" if place else name)
    else:
        for name, inner in wanted.items():
            if name in value:
                _check(value[name], inner, f"{place}.{name}" if place else name)
