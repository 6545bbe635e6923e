"""The values that a param may take in a search: a range or choices, and when it is asked for.

How `--space` spells them:

    LOW..HIGH              a range; of whole numbers where the param is one
    LOW..HIGH log          its logarithm is searched evenly
    LOW..HIGH step S       LOW, LOW + S, LOW + 2S, ... HIGH
    A,B,C                  choices
    A                      this value, in every trial but that of the defaults
    ... if NAME=V1|V2      asked for only where NAME, which is searched too, has such a value
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.errors import ConfigError
from bench.words import parse_value, split_outside_brackets

Number = int | float

_RANGE = re.compile(r"(\S+?)\s*\.\.\s*(\S+)((?:\s+(?:log|step\s+\S+))*)\s*", re.IGNORECASE)
_CONDITION = re.compile(r"(.*?)\s+if\s+(.+?)\s*=\s*(.+)", re.DOTALL)
_NEARLY = 1e-8
"""How far from a whole number of steps rounding may leave a value."""


@dataclass(frozen=True)
class Domain:
    """The values that a param may take.

    Attributes:
        low: of a range, included.
        high: of a range, included.
        log: whether the logarithm is searched evenly.
        step: from one value to the next; None for a continuous range.
        choices: the values, where they are no range.
    """

    kind: Literal["float", "int", "choice"]
    low: Number = 0
    high: Number = 0
    log: bool = False
    step: Number | None = None
    choices: tuple[Any, ...] = ()

    @property
    def is_fixed(self) -> bool:
        """Whether there is one value only."""
        return self.low == self.high if self.kind != "choice" else len(self.choices) == 1

    @property
    def only(self) -> Any:
        """The value of a fixed one."""
        return self.choices[0] if self.kind == "choice" else self.low

    @property
    def size(self) -> float:
        """How many values there are; infinity for a continuous range."""
        if self.kind == "choice":
            return len(self.choices)
        if self.step is None:
            return 1 if self.is_fixed else math.inf
        return 1 + math.floor((self.high - self.low) / self.step + _NEARLY)

    def ask(self, trial: Any, name: str) -> Any:
        """Return what an Optuna-like trial chooses."""
        if self.kind == "float":
            return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        if self.kind == "int":
            return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)
        # Storages hold numbers, texts, booleans and null; a list goes by its text.
        labels = [label(choice) for choice in self.choices]
        return self.value_of(trial.suggest_categorical(name, labels))

    def stored(self, value: Any) -> Any:
        """Return what a trial's storage holds for a value."""
        return label(value) if self.kind == "choice" else value

    def value_of(self, stored: Any) -> Any:
        """Return the value that a trial's answer stands for."""
        if self.kind != "choice" or not isinstance(stored, str):
            return stored
        return next((choice for choice in self.choices if label(choice) == stored), stored)

    def points(self, count: int) -> list[Any]:
        """Return all choices; of a range `count` values, evenly spread, or all if it has fewer."""
        if self.kind == "choice":
            return list(self.choices)
        count = int(min(count, self.size))
        shares = [0.5] if count == 1 else [i / (count - 1) for i in range(count)]
        return list(dict.fromkeys(self._at(share) for share in shares))

    def _at(self, share: float) -> Number:
        """Return the value at a part, 0 to 1, of the range."""
        if share in (0, 1):  # exactly, whatever a logarithm would make of it
            return self.high if share else self.low
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.exp(low + share * (high - low))
        elif self.step is not None:
            value = self.low + self.step * math.floor(share * (self.size - 1) + 0.5)
        else:
            value = self.low + share * (self.high - self.low)
        return round(value) if self.kind == "int" else value

    def __contains__(self, value: Any) -> bool:
        if self.kind == "choice":
            return any(same(value, choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        steps = (value - self.low) / (self.step or 1)
        fits = self.step is None or abs(steps - round(steps)) < _NEARLY
        return fits and self.low <= value <= self.high

    def describe(self) -> dict[str, Any]:
        """Return plain data, as `StudyRecord.space` holds it."""
        if self.kind == "choice":
            return {"kind": self.kind, "choices": list(self.choices)}
        step = {} if self.step is None or self.log else {"step": self.step}
        return {"kind": self.kind, "low": self.low, "high": self.high, "log": self.log, **step}

    def merge(self, other: Domain) -> Domain:
        """Return a domain that covers what is asked for in one place and in another.

        Raises:
            ValueError: no storage holds both under one name.
        """
        if self == other:
            return self
        if "choice" in (self.kind, other.kind) or (self.kind, self.log) != (other.kind, other.log):
            raise ValueError("in different trials it has different choices, or is another kind")
        step = self.step if self.step == other.step else (1 if self.kind == "int" else None)
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Domain(self.kind, low, high, self.log, step)

    def __str__(self) -> str:
        if self.kind == "choice":
            return ",".join(str(label(choice)) for choice in self.choices)
        return f"{self.low:g}..{self.high:g}"


def label(value: Any) -> Any:
    """Return what a storage holds for a choice: itself, or its text where it is a list."""
    plain = value is None or isinstance(value, bool | int | float | str)
    return value if plain else json.dumps(value, default=list)


def same(value: Any, other: Any) -> bool:
    """Return whether two values mean the same, be they written as number, text or list."""
    return bool(value == other) or str(label(value)).lower() == str(label(other)).lower()


def proposed_range(
    kind: Literal["float", "int"], low: Number, high: Number, step: Number | None, log: bool
) -> Domain:
    """Return the range that a component proposes.

    Raises:
        ValueError: there is no such range.
    """
    _check_range(low, high, step, log and kind == "float")
    if kind == "int":
        if not float(low).is_integer() or not float(high).is_integer():
            raise ValueError(f"{low}..{high} is no range of whole numbers")
        low, high, step = int(low), int(high), 1 if log or step is None else int(step)
    else:
        low, high = float(low), float(high)
    if log and low <= 0:
        raise ValueError(f"a logarithmic range begins above 0, not at {low:g}")
    if step is not None and not log:
        # As Optuna does, but without a warning: the last value is the last whole step.
        high = low + step * math.floor((high - low) / step + _NEARLY)
    return Domain(kind, low, high, log, step)


def _check_range(low: Number, high: Number, step: Number | None, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{low}..{high} has no end")
    if low > high:
        raise ValueError(f"{low:g}..{high:g} is empty; the lower end comes first")
    if step is not None and not (math.isfinite(step) and step > 0):
        raise ValueError(f"a step is a number above 0, not {step:g}")
    if log and step is not None:
        raise ValueError("`log` and `step` do not go together")


def proposed_choices(choices: Sequence[Any]) -> Domain:
    """Return the choices that a component proposes.

    Raises:
        ValueError: there are none.
    """
    if not choices:
        raise ValueError("there are no choices")
    return Domain("choice", choices=tuple(choices))


@dataclass(frozen=True)
class Condition:
    """When something is asked for.

    Attributes:
        name: of something else that is searched.
        values: those of it with which this is asked for.
    """

    name: str
    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Return whether a value is one of them."""
        return any(same(value, each) for each in self.values)

    def __str__(self) -> str:
        return f"{self.name}={'|'.join(str(label(value)) for value in self.values)}"


@dataclass(frozen=True)
class Written:
    """What a user has written of a param, before it is known which type it has.

    Attributes:
        key: the name as it was written.
        ends: the lower and the upper one of a range.
        choices: where it is no range.
    """

    key: str
    ends: tuple[Any, Any] | None = None
    log: bool = False
    step: Any = None
    choices: tuple[Any, ...] = ()
    condition: Condition | None = None

    @property
    def source(self) -> str:
        """How messages about it begin."""
        return f"--space {self.key}"


def read(key: str, value: Any) -> Written:
    """Read what `--space` or an experiment file says of a param.

    Raises:
        ConfigError: it is neither a range nor values.
    """
    source = f"--space {key}"
    if isinstance(value, Mapping):
        raise ConfigError(
            f'{source}: write a range or choices, not a table; a name goes in quotes: "NAME.PARAM"'
        )
    if isinstance(value, list | tuple):
        given = tuple(parse_value(each) if isinstance(each, str) else each for each in value)
        return Written(key, choices=_unique(given, source))
    if not isinstance(value, str):
        return Written(key, choices=(value,))
    condition = None
    text = value.strip()
    if found := _CONDITION.fullmatch(text):
        text = found[1].strip()
        values = tuple(parse_value(part) for part in found[3].split("|"))
        condition = Condition(found[2].strip(), _unique(values, source))
    elif re.search(r"\sif(\s|$)", text):
        raise ConfigError(f"{source}: a condition is `if NAME.PARAM=V1|V2`, after the range")
    if range_ := _RANGE.fullmatch(text):
        log, step = _options(range_[3], source)
        ends = parse_value(range_[1]), parse_value(range_[2])
        return Written(key, ends=ends, log=log, step=step, condition=condition)
    choices = tuple(parse_value(part) for part in split_outside_brackets(text))
    return Written(key, choices=_unique(choices, source), condition=condition)


def _options(text: str, source: str) -> tuple[bool, Any]:
    """Return whether a range is logarithmic, and its step."""
    words = text.lower().split()
    if words.count("log") > 1 or words.count("step") > 1:
        raise ConfigError(f"{source}: it says twice `log` or `step`")
    step = parse_value(words[words.index("step") + 1]) if "step" in words else None
    return "log" in words, step


def _unique(values: tuple[Any, ...], source: str) -> tuple[Any, ...]:
    if not values or any(value == "" for value in values):
        raise ConfigError(f"{source}: a value is missing")
    kept: list[Any] = []
    for value in values:
        if not any(value == each and type(value) is type(each) for each in kept):
            kept.append(value)
    return tuple(kept)


def range_of(written: Written, kind: Literal["float", "int"]) -> Domain:
    """Return the range that a user has written for a number.

    Raises:
        ConfigError: there is no such range.
    """
    assert written.ends is not None
    source = written.source
    low, high = (_number(end, kind, source) for end in written.ends)
    step = None if written.step is None else _number(written.step, kind, source)
    try:
        _check_range(low, high, step, written.log)
        domain = proposed_range(kind, low, high, step, written.log)
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error
    if not written.log and domain.high != high and abs(domain.high - high) > _NEARLY * abs(high):
        raise ConfigError(
            f"{source}: steps of {step:g} from {low:g} do not meet {high:g}; "
            f"end at {domain.high:g}, or leave out `step`"
        )
    return domain


def _number(value: Any, kind: str, source: str) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{source}: a range goes from a number to a number, not `{value}`")
    if kind == "int" and not float(value).is_integer():
        raise ConfigError(f"{source}: it is a whole number, and {value:g} is none")
    return value
