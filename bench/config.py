"""The command line and the experiment file, validated into one ExperimentConfig.

Each field is declared once, here or in `bench.protocol`. Command-line flags, the keys of an
experiment file, the keywords of `bench.run` and the table of defaults in docs/cli.md all come from
these fields.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.budget import Budget, parse_budget
from bench.errors import ConfigError
from bench.protocol import Protocol
from bench.text import did_you_mean, listing, one_line
from bench.words import parse_duration, parse_value, split_outside_brackets

TUNING = (
    *("search", "space", "sampler", "pruner", "objectives"),
    *("tune_seeds", "study_seed", "study", "storage"),
)
"""The fields that do nothing without `tune`."""


class ExperimentConfig(BaseModel):
    """One experiment: which cells, how often, where and under which protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    datasets: tuple[str, ...] = Field((), description="datasets to train on")
    models: tuple[str, ...] = Field((), description="models to compare")
    optimizers: tuple[str, ...] = Field((), description="optimizers to compare")
    weights: tuple[str, ...] = Field(
        (),
        description="weights to start from: `pretrained` for the model's published ones, a FILE, "
        "`run:ID`, or `none`; several are compared",
    )
    pretrained: bool = Field(False, description="short for `weights` with `pretrained`")
    seeds: int = Field(1, ge=1, description="runs of every cell, with seeds 0, 1, 2, ...")
    resample: Literal["bootstrap", "weights"] | None = Field(
        None,
        description="draw the items of every epoch from train: `bootstrap`, those of one sample "
        "with replacement, by the seed; `weights`, by item weights, equal ones in the first round "
        "of boosting, with predictions on train kept",
    )
    set: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="override a param or protocol field; commas make a grid"
    )
    tune: str | None = Field(
        None,
        description="search for better params of every cell, each with this budget: trials (`20`), "
        "time of their runs (`30m`) or epochs that they train (`200epochs`)",
    )
    search: tuple[str, ...] = Field(
        ("model", "optimizer"),
        description="what `tune` searches: kinds, components, `NAME.PARAM` or `protocol.FIELD`, "
        "within the ranges that they propose",
    )
    space: dict[str, Any] = Field(
        default_factory=dict,
        description="search this too, or within another range: `adamw.lr=1e-4..1e-1 log`, "
        "`cnn.filters=16..64 step 16`, `protocol.batch_size=32,64`",
    )
    sampler: str = Field(
        "tpe",
        description="how `tune` chooses params: `tpe`, `random`, `grid`, or another of Optuna's, "
        "options after a colon: `tpe:multivariate=true`",
    )
    pruner: str = Field(
        "none",
        description="how trials end early: `halving`, `hyperband`, `first-epoch`, `median` or "
        "another of Optuna's, options after a colon: `halving:eta=4`",
    )
    objectives: tuple[str, ...] = Field(
        ("score",),
        description="what `tune` wants: `score` on val; and `latency_ms`, `parameters` or "
        "`train_seconds`, for all that no other trial beats in every one",
    )
    tune_seeds: int = Field(1, ge=1, description="runs of every trial, whose mean score counts")
    study_seed: int = Field(0, ge=0, description="seed of the sampler")
    study: str | None = Field(
        None, description="name that tells studies of the same cells from one another"
    )
    storage: str | None = Field(
        None,
        description="where studies are kept, for example `postgresql://user@host/name`, by which "
        "several machines share them; by default a file beside the results",
    )
    executor: str | None = Field(None, description="where runs are carried out")
    workers: int = Field(1, ge=1, description="runs at a time")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="device to train on")
    devices: int = Field(
        1,
        ge=1,
        description="devices that train one run together, each with its part of every batch; "
        "several on a CPU are for checking, not for speed",
    )
    deterministic: bool = Field(False, description="bit-for-bit repeatable, somewhat slower")
    timeout: float | None = Field(
        None, gt=0, description="longest time of a run: `90`, `90s`, `30m` or `2h`"
    )
    keep: Literal["best", "all", "none"] = Field(
        "best",
        description="weights to keep: those of each cell's best run, of all runs (as ensembles of "
        "them need for predicting), or none",
    )
    pictures: Literal["auto", "none"] = Field(
        "auto",
        description="small pictures to keep for reports: `auto`, of test images that each run is "
        "most wrong about or in doubt of, and of a few training images; or none of them",
    )
    checkpoint_minutes: float = Field(
        5.0,
        gt=0,
        description="minutes of training after which a run saves its state inside an epoch; at "
        "the end of one it does anyway, unless it did within the last second",
    )
    trackers: tuple[str, ...] = Field(
        (),
        description="where runs are told of as they happen, beside their records: a tracking "
        "server, files that another program draws (`bench list trackers`)",
    )
    rerun: bool = Field(False, description="train again what is already finished")
    fail_fast: bool = Field(False, description="stop at the first run that fails")
    metrics: tuple[str, ...] = Field(
        (),
        description="metrics to show of the results besides, computed from stored predictions; "
        "params after a colon: `f1_macro,ece:bins=20`",
    )
    results: Path = Field(Path("results"), description="folder for records and leaderboards")
    data_dir: Path | None = Field(None, description="folder with datasets of your own")
    exclude: Path | None = Field(
        None, description="file with the image files to leave out, one a line"
    )
    offline: bool = Field(False, description="download nothing; what is missing is an error")
    placement: Literal["auto", "memory", "map", "stream"] = Field(
        "auto",
        description="where images are during a run: on the device or else in memory, in a memory "
        "map, or decoded from their files ahead of each step; results do not depend on it",
    )
    protocol: dict[str, Any] = Field(default_factory=dict, exclude=True)

    @field_validator(
        *("datasets", "models", "optimizers", "weights"),
        *("search", "objectives", "metrics", "trackers"),
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        is_listed = not isinstance(value, str)
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(part for item in value for part in _selectors(item, is_listed))
        return value

    @field_validator("tune", mode="before")
    @classmethod
    def _check_budget(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        return str(value) if parse_budget(str(value)) else None

    @property
    def budget(self) -> Budget | None:
        """What may be spent on tuning each cell; None without tuning."""
        return parse_budget(self.tune) if self.tune else None

    @field_validator("timeout", mode="before")
    @classmethod
    def _parse_timeout(cls, value: Any) -> Any:
        return parse_duration(value) if isinstance(value, str) else value

    @field_validator("set", mode="before")
    @classmethod
    def _parse_set(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {str(key): _grid(item) for key, item in value.items()}

    @classmethod
    def create(
        cls, values: Mapping[str, Any], source: str = "the call", *, partial: bool = False
    ) -> Self:
        """Validate flat values: experiment fields and protocol fields side by side.

        Args:
            values: by name.
            source: where they come from, for messages.
            partial: whether others may come on top, which make sense of these.

        Raises:
            ConfigError: an unknown key or a wrong value, in one line.
        """
        own: dict[str, Any] = {}
        protocol: dict[str, Any] = {}
        for key, value in values.items():
            name = key.replace("-", "_")
            if name in Protocol.model_fields:
                protocol[name] = protocol_value(name, value, source)
            elif name in cls.model_fields and name != "protocol":
                if isinstance(value, bool) and cls.model_fields[name].annotation is not bool:
                    raise ConfigError(f"{source}: `{key}` cannot be {str(value).lower()}")
                if name in ("set", "space") and not isinstance(value, Mapping):
                    raise ConfigError(
                        f"{source}: `{key}` is {value!r}; write a table: [{key}], and below it "
                        '"NAME.PARAM" = ...'
                    )
                own[name] = value
            else:
                hint = did_you_mean(name, known_keys())
                raise ConfigError(f"{source}: there is no key `{key}`{hint}")
        try:
            config = cls(**own, protocol=protocol)
        except pydantic.ValidationError as error:
            raise ConfigError(_explain(error, source)) from None
        idle = [name for name in TUNING if name in own] if config.tune is None else []
        if idle and not partial:
            spelt = idle[0].replace("_", "-")
            raise ConfigError(f"{source}: `{spelt}` does nothing here; it goes with `--tune N`")
        return config

    def values(self) -> dict[str, Any]:
        """Return the flat values that make this config again, defaults left out."""
        plain = self.model_dump(mode="json", exclude_defaults=True)
        if self.set:
            plain["set"] = {key: _ungrid(grid) for key, grid in self.set.items()}
        return {**plain, **self.protocol}


def known_keys() -> list[str]:
    """Return every key of an experiment file."""
    return [*(k for k in ExperimentConfig.model_fields if k != "protocol"), *Protocol.model_fields]


def protocol_value(name: str, value: Any, source: str) -> Any:
    """Return one protocol field's validated value.

    Raises:
        ConfigError: there is no such field, or the value does not suit it.
    """
    if name not in Protocol.model_fields:
        hint = did_you_mean(name, Protocol.model_fields)
        known = listing(Protocol.model_fields, limit=20)
        raise ConfigError(f"{source}: the protocol has no field `{name}`{hint}; it has {known}")
    if isinstance(value, bool):
        raise ConfigError(f"{source}: `{name}` cannot be {str(value).lower()}")
    if isinstance(value, str) and value.lower() in ("none", "null"):
        value = None
    try:
        return getattr(Protocol(**{name: value}), name)
    except pydantic.ValidationError as error:
        raise ConfigError(_explain(error, source)) from None


def read_file(path: Path) -> dict[str, Any]:
    """Return the flat values of a TOML or YAML experiment file.

    Raises:
        ConfigError: the file is missing, is neither format or holds no table.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read `{path}`: {error}") from error
    try:
        if path.suffix.lower() in (".yaml", ".yml"):
            values = yaml.safe_load(text)
        elif path.suffix.lower() == ".toml":
            values = tomllib.loads(text)
        else:
            raise ConfigError(f"`{path}` is neither .toml nor .yaml")
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"`{path}` is broken: {one_line(str(error))}") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"`{path}` holds no table of keys and values")
    return {str(key): value for key, value in values.items()}


def to_toml(values: Mapping[str, Any]) -> str:
    """Return flat values as the text of a TOML experiment file."""
    lines = []
    tables = []
    for key, value in values.items():
        name = key.replace("_", "-")
        if isinstance(value, Mapping):
            tables.append(f"\n[{name}]")
            tables.extend(f"{_toml_value(str(k))} = {_toml_value(v)}" for k, v in value.items())
        else:
            lines.append(f"{name} = {_toml_value(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def defaults_table() -> str:
    """Return every key with its default as a Markdown table, as docs/cli.md holds it."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for model in (ExperimentConfig, Protocol):
        for name, field in model.model_fields.items():
            if name == "protocol":
                continue
            default = field.get_default(call_default_factory=True)
            word = ",".join(default) if isinstance(default, tuple) else str(default).lower()
            shown = "" if default in (None, (), {}) else f"`{word}`"
            rows.append(f"| `{name.replace('_', '-')}` | {shown} | {field.description} |")
    return "\n".join(rows)


def _selectors(text: str, is_listed: bool) -> list[str]:
    """Return the names in a text; in a list of its own, a source's path may hold commas."""
    if is_listed and re.match(r"[\w-]+:", text):
        return [text.strip()]
    return [part.strip() for part in text.split(",") if part.strip()]


def _grid(value: Any) -> tuple[Any, ...]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, str):
        return tuple(parse_value(part) for part in split_outside_brackets(value))
    if isinstance(value, list):
        # Words in a list mean what they mean on the command line: YAML reads `1e-3` as text.
        return tuple(parse_value(item) if isinstance(item, str) else item for item in value)
    return (value,)


def _ungrid(grid: tuple[Any, ...]) -> Any:
    """Return what `_grid` makes this grid of: the bare value where that is enough, or a list."""
    words = [_word(value) for value in grid]
    alone = len(grid) == 1 and not isinstance(grid[0], list) and _grid(words[0]) == grid
    return words[0] if alone else words


def _word(value: Any) -> Any:
    """Return what `parse_value` reads as this value, if that is not the value itself."""
    if value is None:
        return "none"
    return json.dumps(value) if isinstance(value, str) and parse_value(value) != value else value


def _toml_value(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if value is None:
        return '"none"'
    if isinstance(value, float):
        return repr(value)  # TOML knows `inf` and `nan`
    # Surrogate pairs are no TOML, and of the characters beyond ASCII only this one is escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _explain(error: pydantic.ValidationError, source: str) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][:1]).replace("_", "-")
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return one_line(f"{source}: `{name}` is {first['input']!r}, but {message}")
