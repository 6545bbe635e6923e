"""The command line of a run trains that run again, whatever its params are."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from bench.cli.fields import config_of
from bench.cli.run import command
from bench.config import ExperimentConfig
from bench.plan import plan
from bench.records import RunSpec
from bench.registry import load_registry
from bench.repeat import _word, command_of
from bench.variation import vary
from bench.words import parse_set

REGISTRY = load_registry()


def spec_of(**values: Any) -> RunSpec:
    given = {"datasets": "digits", "models": "cnn", **values}
    return plan(ExperimentConfig.create(given), REGISTRY).runs[0]


def again(spec: RunSpec, registry: Any = REGISTRY) -> RunSpec:
    """Return what the command line of a run, split as a shell splits it, plans."""
    program, verb, *words = shlex.split(command_of(spec, registry))
    assert (program, verb) == ("bench", "run")
    flags = command.make_context("run", words).params
    for name in ("only_plan", "save_config", "as_json"):
        del flags[name]
    [found] = plan(config_of(flags.pop("files_given"), flags), registry).runs
    return found


def same(one: RunSpec, other: RunSpec) -> bool:
    plain = [dataclasses.replace(spec, pinned={}, tuned={}).to_dict() for spec in (one, other)]
    return plain[0] == plain[1]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"epochs": 3, "batch_size": 16, "limit": 300, "patience": 2, "deterministic": True},
        {"schedule": "step", "set": {"step.every": 2}},
        {"loss": "focal", "augmentation": "random-erasing"},
        {"weights": "none", "fractions": "0.6,0.2,0.2"},
        {"models": "cnn3", "optimizers": "sgd-vanilla"},
        {"averaging": "ema", "ema_decay": 0.9, "clip_norm": 1, "color": "rgb"},
        {"set": {"cnn.activation": "gelu", "cnn.dropout": 0.25, "adamw.lr": 1e-05}},
    ],
)
def test_a_run_is_planned_again(values: Mapping[str, Any]) -> None:
    spec = spec_of(**values)
    assert same(again(spec), spec), command_of(spec, REGISTRY)


@pytest.mark.parametrize(
    "values",
    [
        {"adamw.lr": 3.0000000000000001e-05, "cnn.filters": 48},
        {"protocol.batch_size": 16, "protocol.clip_norm": None, "protocol.warmup": 1.5},
        {"protocol.schedule": "one-cycle", "protocol.loss": "focal"},
        {"protocol.schedule": None},
    ],
)
def test_what_a_trial_varies_is_planned_again(values: Mapping[str, Any]) -> None:
    base = spec_of(schedule="cosine", clip_norm=2)
    spec = vary(base, values, REGISTRY)
    assert same(again(spec), spec), command_of(spec, REGISTRY)


VALUES = [  # of params that are texts
    *("plain", "with space", "it's", 'a "quoted" one', "a,b", '"', "[a", "a],b", "", " edge "),
    *("none", "true", "1e3", "5", "$HOME `date` \\ %", "ümläut", "a\nb"),
]


@pytest.mark.parametrize("text", VALUES)
def test_any_text_survives(text: str) -> None:
    spec = spec_of()
    params = {**spec.model.params, "activation": text}
    spec = dataclasses.replace(spec, model=dataclasses.replace(spec.model, params=params))
    assert again(spec).model.params["activation"] == text


@pytest.mark.parametrize(
    "value",
    [True, False, None, [], [1, 2], ["a,b", "]", '"'], [[1, 2], [3]], 7, 1e-300, -5, *VALUES],
)
def test_any_value_survives(value: Any) -> None:
    assert parse_set([f"net.param={_word(value)}"]) == {"net.param": (value,)}


def test_a_path_with_blanks_and_quotes(tmp_path: Path) -> None:
    folder = tmp_path / "my 'own' data"
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (folder / name).mkdir(parents=True)
        PIL.Image.new("RGB", (8, 8)).save(folder / name / "one.png")
    spec = spec_of(datasets=[f"folder:{folder}"])
    assert same(again(spec), spec), command_of(spec, REGISTRY)
