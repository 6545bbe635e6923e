"""Optuna's samplers and pruners by name, with options as a command line gives them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import UsageError
from bench.text import did_you_mean, listing, one_line
from bench.tuning.quiet import quietly, silence
from bench.words import parse_value, split_outside_brackets

_PLAIN = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,), "None": ()}
"""Annotation -> what a command line can give for it; other params take objects."""


@dataclass(frozen=True)
class Choice:
    """What the user chose: a name, and options for it.

    Attributes:
        text: as it was given.
        name: without what Optuna's names have in common, in small letters, such as `cmaes`.
    """

    text: str
    name: str
    options: Mapping[str, Any]


def read_choice(text: str, kind: str) -> Choice:
    """Read `NAME[:key=value,...]`.

    Args:
        text: what was given.
        kind: `sampler` or `pruner`.

    Raises:
        UsageError: an option without a name or a value, or given twice.
    """
    name, colon, rest = text.strip().partition(":")
    options: dict[str, Any] = {}
    for part in split_outside_brackets(rest) if colon else ():
        key, equals, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if not (key and equals and value.strip()):
            raise UsageError(f"--{kind} `{text}`: options are written `{kind}:key=value`")
        if key in options:
            raise UsageError(f"--{kind} `{text}`: `{key}` is given twice")
        options[key] = parse_value(value)
    return Choice(text, _plain_name(name, kind), options)


def maker(
    choice: Choice, kind: str, classes: Mapping[str, type], **given: Any
) -> functools.partial[Any]:
    """Return what makes objects of the class that was chosen; it has made one, to see that it can.

    Args:
        choice: what was chosen.
        kind: `sampler` or `pruner`.
        classes: those that can be, by plain name.
        given: params that are not the user's to give; those that the class lacks are left out.

    Raises:
        UsageError: there is no such class, or it does not take such an option.
    """
    silence()
    chosen = find(choice, kind, classes)
    params = inspect.signature(chosen).parameters
    open_ones = {name: kinds for name, kinds in _open(params).items() if name not in given}
    for name, value in choice.options.items():
        _check(choice, kind, open_ones, name, value)
    empty = {name: None for name, param in params.items() if param.default is param.empty}
    arguments = empty | {name: value for name, value in given.items() if name in params}
    arguments |= choice.options
    for name in sorted(_needed(params) - choice.options.keys() - given.keys()):
        raise UsageError(
            f"--{kind} `{choice.text}`: it needs an option `{name}`; "
            f"write `{choice.name}:{name}=VALUE`"
        )
    try:
        make = functools.partial(chosen, **arguments)
        with quietly():
            make()
    except (TypeError, ValueError) as error:
        raise UsageError(f"--{kind} `{choice.text}`: {one_line(str(error))}") from error
    return make


def find(choice: Choice, kind: str, classes: Mapping[str, type]) -> type:
    """Return the class that was chosen.

    Raises:
        UsageError: there is no such class.
    """
    if choice.name not in classes:
        hint = did_you_mean(choice.name, classes)
        raise UsageError(
            f"--{kind} `{choice.text}`: Optuna has no such {kind}{hint}; "
            f"it has {listing(sorted(classes), limit=20)}"
        )
    return classes[choice.name]


def classes_of(module: Any, kind: str, base: type) -> dict[str, type]:
    """Return the classes of one of Optuna's modules that a text can describe, by plain name."""
    found = {}
    for name in module.__all__:
        each = getattr(module, name)
        if inspect.isclass(each) and issubclass(each, base) and not inspect.isabstract(each):
            params = inspect.signature(each).parameters
            if _needed(params) <= _open(params).keys():
                found[_plain_name(name, kind)] = each
    return found


def _plain_name(name: str, kind: str) -> str:
    """Return `cmaes` for `CmaEsSampler`, `CMA-ES` and the like."""
    return re.sub(r"[\s_-]", "", name).lower().removesuffix(kind)


def _open(params: Mapping[str, inspect.Parameter]) -> dict[str, set[str]]:
    """Return the params that a text can give, each with the names of its types."""
    found = {name: _kinds(param) for name, param in params.items()}
    # Of the independent sampling that Optuna would warn of, nobody is told anyway.
    return {
        name: kinds
        for name, kinds in found.items()
        if kinds <= _PLAIN.keys() and not name.startswith("warn_")
    }


def _kinds(param: inspect.Parameter) -> set[str]:
    """Return the names of the types that a param may be of."""
    written = param.annotation
    text = written if isinstance(written, str) else inspect.formatannotation(written)
    return {part.strip() for part in text.split("|")}


def _needed(params: Mapping[str, inspect.Parameter]) -> set[str]:
    """Return the params that someone must give; one that may be None stays so."""
    return {
        name
        for name, param in params.items()
        if param.default is param.empty and "None" not in _kinds(param)
    }


def _check(
    choice: Choice, kind: str, open_ones: Mapping[str, set[str]], name: str, value: Any
) -> None:
    if name == "seed":
        raise UsageError(f"--{kind} `{choice.text}`: give the seed with --study-seed")
    if name not in open_ones:
        hint = did_you_mean(name, open_ones)
        known = listing(open_ones, limit=20) or "none"
        raise UsageError(
            f"--{kind} `{choice.text}`: there is no option `{name}`{hint}; it has {known}"
        )
    kinds = open_ones[name]
    is_right = value is None if "None" in kinds else False
    for each in kinds:
        is_whole = each == "int" and isinstance(value, float) and value.is_integer()
        is_right |= isinstance(value, _PLAIN[each]) and (
            isinstance(value, bool) == (each == "bool")
        )
        is_right |= is_whole
    if not is_right:
        wanted = " or ".join(sorted(kinds - {"None"}))
        raise UsageError(f"--{kind} `{choice.text}`: `{name}` is of type {wanted}, not `{value}`")
