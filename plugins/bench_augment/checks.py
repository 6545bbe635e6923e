"""Refusals of params, one line each."""

from __future__ import annotations

from typing import Any

import bench


def number(owner: str, name: str, value: Any, low: float, high: float) -> float:
    """Return `value` if it is a number from `low` to `high`.

    Args:
        owner: the augmentation's name.
        name: the param's name.
        value: what was given.
        low: the least value allowed.
        high: the greatest value allowed.

    Raises:
        bench.ConfigError: it is not.
    """
    if _is(value, int | float) and low <= value <= high:
        return float(value)
    raise bench.ConfigError(
        f"augmentation `{owner}`: `{name}` is {value!r}; give {low:g} to {high:g}"
    )


def whole(owner: str, name: str, value: Any, low: int, high: int) -> int:
    """Return `value` if it is a whole number from `low` to `high`.

    The arguments are those of `number`.

    Raises:
        bench.ConfigError: it is not.
    """
    if _is(value, int) and low <= value <= high:
        return int(value)
    raise bench.ConfigError(
        f"augmentation `{owner}`: `{name}` is {value!r}; give a whole number, {low} to {high}"
    )


def ordered(owner: str, first: str, low: float, second: str, high: float) -> None:
    """Refuse a range whose ends are the wrong way round.

    Args:
        owner: the augmentation's name.
        first: the name of the param that is the lower end.
        low: the lower end.
        second: the name of the param that is the upper end.
        high: the upper end.

    Raises:
        bench.ConfigError: `low` is above `high`.
    """
    if low > high:
        raise bench.ConfigError(
            f"augmentation `{owner}`: `{first}` is {low:g} and above `{second}`, {high:g}; "
            f"give the smaller number first"
        )


def _is(value: Any, kinds: Any) -> bool:
    # To Python True is a number, to people it is not.
    return isinstance(value, kinds) and not isinstance(value, bool)
