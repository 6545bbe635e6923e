"""Command-line options made from the fields of the config, each of which is declared there once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo

from bench.cli.common import Decorator, complete_names
from bench.config import ExperimentConfig, read_file
from bench.protocol import Protocol
from bench.words import parse_set, parse_space

ALL_FIELDS = {**ExperimentConfig.model_fields, **Protocol.model_fields}
"""Every field of an experiment and of its protocol, by name."""
del ALL_FIELDS["protocol"]

_COMPLETIONS = {
    "datasets": "dataset",
    "models": "model",
    "optimizers": "optimizer",
    "weights": "weights",
    "executor": "executor",
    "schedule": "schedule",
    "loss": "loss",
    "augmentation": "augmentation",
    "metrics": "metric",
    "trackers": "tracker",
}
_KEYED = {"set": "NAME.PARAM=V1,V2", "space": "NAME.PARAM=LOW..HIGH"}
_FLAGS = ("deterministic", "rerun", "fail_fast", "offline", "pretrained")


def config_of(paths: tuple[Path, ...], flags: dict[str, Any]) -> ExperimentConfig:
    """Return what is asked for: a flag wins over a file, a later file over an earlier one."""
    values: dict[str, Any] = {}
    for path in paths:
        content = {key.replace("-", "_"): value for key, value in read_file(path).items()}
        # Checked alone first, so that a wrong key is blamed on its file.
        ExperimentConfig.create(content, f"`{path}`", partial=True)
        values.update(content)
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    keyed: dict[str, dict[str, Any]] = {
        "set": parse_set(given.pop("set", ())),
        "space": parse_space(given.pop("space", ())),
    }
    values.update(given)
    for name, table in keyed.items():
        if table:
            values[name] = {**values.get(name, {}), **table}
    return ExperimentConfig.create(values, "the command line")


class FieldCommand(click.Command):
    """A command whose help shows the fields of an experiment and of its protocol apart."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: the command's own, the experiment's, the protocol's."""
        sections: dict[str, list[tuple[str, str]]] = {
            "Options": [],
            "What is run, and where": [],
            "How each run is trained (the protocol)": [],
        }
        own, experiment, protocol = sections.values()
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx)
            if row is not None:
                is_protocol = param.name in Protocol.model_fields
                is_field = param.name in ALL_FIELDS
                (protocol if is_protocol else experiment if is_field else own).append(row)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def field_options(*names: str) -> Decorator:
    """Return a decorator that adds an option for each of these fields."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            function = _option(name, ALL_FIELDS[name])(function)
        return function

    return decorate


def _option(name: str, field: FieldInfo) -> Callable[..., Any]:
    flag = f"--{name.replace('_', '-')}"
    text = (field.description or "").replace("`", "")
    default = field.get_default(call_default_factory=True)
    if name in _FLAGS:
        return click.option(flag, name, is_flag=True, default=None, help=text)
    if name in _KEYED:
        return click.option(flag, name, multiple=True, metavar=_KEYED[name], help=text)
    if default not in (None, (), {}):
        shown = ",".join(default) if isinstance(default, tuple) else default
        text += f"  [default: {shown}]"
    kind = _COMPLETIONS.get(name)
    complete = complete_names(kind) if kind else None
    metavar = "NAMES" if field.annotation == tuple[str, ...] else "VALUE"
    return click.option(flag, name, metavar=metavar, help=text, shell_complete=complete)
