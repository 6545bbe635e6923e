"""The command line that trains a run again, from nothing but what is known of the run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from bench.protocol import Protocol, is_in_use
from bench.records import Mode, RunSpec, canonical
from bench.registry import Registry
from bench.specs import Dataset
from bench.words import parse_value

_SELECTED = ("dataset", "model", "optimizer", "weights")
"""The kinds that are chosen by a flag of their own; the protocol names the others."""


def command_of(spec: RunSpec, registry: Registry, seeds: int = 1) -> str:
    """Return the `bench run` that trains this run, with seeds 0 to `seeds` - 1.

    What has its default value is left out.

    Raises:
        UnknownNameError: a component of it is no longer installed.
    """
    words = ["bench", "run"]
    settings = []
    for kind, ref in spec.components.items():
        component = registry.of(kind, ref).component
        if kind in _SELECTED:
            words += [f"--{kind if kind == 'weights' else kind + 's'}", ref.selector]
        defaults: Mapping[str, Any] = component.defaults
        for param, value in ref.params.items():
            differs = param not in defaults or canonical(defaults[param]) != canonical(value)
            if differs and not (component.is_source and param == "path"):
                settings.append(f"{ref.name}.{param}={_word(value)}")
    for name, value in _given(spec, registry).items():
        words += [f"--{name.replace('_', '-')}", _flag(value)]
    words += ["--seeds", str(seeds)] if seeds > 1 else []
    words += ["--deterministic"] if spec.mode is Mode.DETERMINISTIC else []
    words += ["--resample", spec.draw["resample"]] if spec.draw else []
    words += ["--devices", str(spec.devices)] if spec.devices > 1 else []
    words += ["--data-dir", spec.data_dir] if spec.data_dir else []
    words += ["--exclude", spec.exclude] if spec.exclude else []
    for setting in settings:
        words += ["--set", setting]
    return shlex.join(words)


def _given(spec: RunSpec, registry: Registry) -> dict[str, Any]:
    """Return the protocol fields that have another value than they would have by themselves."""
    dataset = registry.of("dataset", spec.dataset).component
    assert isinstance(dataset, Dataset)
    usual = {**Protocol.model_validate({}).model_dump(mode="json"), **dataset.recommends}
    pins: dict[str, Any] = {}
    for kind, ref in spec.components.items():
        component = registry.of(kind, ref).component
        pins |= component.pins
        if kind not in _SELECTED and component.default:
            usual[kind] = ref.name
    return {
        name: value
        for name, value in spec.protocol.items()
        if name not in pins
        and is_in_use(name, spec.settings)
        and canonical(usual.get(name)) != canonical(value)
    }


def _word(value: Any) -> str:
    """Return a param's value as `--set` reads it."""
    if isinstance(value, str):
        is_plain = value and parse_value(value) == value and "," not in value
        return value if is_plain else json.dumps(value)
    return "none" if value is None else json.dumps(value)


def _flag(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)
