"""Published results as files: what is trained, what it should come to, and who says so.

A file is TOML. All that decides the outcome stands in it before anything is run: protocol, seeds,
the value expected and how far from it is near enough. The level `quick` is a smaller protocol with
an expectation of its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from bench.errors import PluginError, UnknownNameError, UsageError
from bench.registry import Registry
from bench.text import did_you_mean, listing, one_line

Words = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(_Part):
    """Who says so: a title, an address, and what is found there."""

    title: Words
    url: Words
    says: Words


class Data(_Part):
    """The data that the value holds for.

    Attributes:
        images: of all splits together, by which other data are told from these.
        test: test images.
        get: how to come by them.
    """

    images: int = Field(gt=0)
    test: int = Field(gt=0)
    get: Words


class Level(_Part):
    """One protocol and what it should come to.

    Attributes:
        expected: the value of the metric, a part of 1.
        tolerance: how far from it is near enough.
        why: where the two come from.
        experiment: keys of an experiment file, on top of the baseline's.
    """

    expected: float = Field(ge=0, le=1)
    tolerance: float = Field(gt=0, lt=0.5)
    why: Words
    experiment: dict[str, Any]


class Baseline(_Part):
    """One published result.

    Attributes:
        metric: the one that ranks the task.
        differs: in what the protocol is not the source's.
        experiment: keys of an experiment file that all levels share.
        levels: by name, `full` and perhaps `quick`.
    """

    name: Words
    summary: Words
    metric: Words
    differs: Words
    source: Source
    data: Data
    experiment: dict[str, Any]
    levels: dict[str, Level] = Field(min_length=1)

    def level(self, name: str) -> Level:
        """Return a level.

        Raises:
            UsageError: it has none of that name.
        """
        if name not in self.levels:
            known = listing(self.levels)
            raise UsageError(f"baseline `{self.name}` has no level `{name}`, but {known}")
        return self.levels[name]

    def values(self, level: str) -> dict[str, Any]:
        """Return the experiment of a level, as `bench.run` takes it."""
        return {**self.experiment, **self.level(level).experiment}


def read(path: Path) -> Baseline:
    """Return what a file holds.

    Raises:
        PluginError: it cannot be read or is no baseline.
    """
    try:
        return Baseline.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PluginError(f"cannot read baseline `{path}`: {one_line(str(error), 200)}") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PluginError(f"`{path}` is no baseline: `{where}`: {first['msg'].lower()}") from None


def offered(registry: Registry) -> list[Baseline]:
    """Return the baselines of all plugins, in the plugins' order.

    Raises:
        PluginError: a plugin offers something else, or two offer one name.
    """
    found: dict[str, tuple[Baseline, str]] = {}
    for name, module in registry.manager.list_name_plugin():
        hook = getattr(module, "register_baselines", None)
        if hook is None:
            continue
        for path in _paths(name, hook):
            baseline = read(path)
            if baseline.name in found:
                owner = found[baseline.name][1]
                raise PluginError(
                    f"baseline `{baseline.name}` is offered by `{owner}` and by `{name}`"
                )
            found[baseline.name] = (baseline, name)
    return [baseline for baseline, _ in found.values()]


def _paths(plugin: str, hook: Any) -> Sequence[Path]:
    try:
        return [Path(path) for path in hook()]
    except Exception as error:  # whatever a plugin comes up with
        told = one_line(f"{type(error).__name__}: {error}", 200)
        raise PluginError(f"`register_baselines` of plugin `{plugin}` failed: {told}") from error


def choose(known: Sequence[Baseline], name: str) -> Baseline:
    """Return the baseline of a name.

    Raises:
        UnknownNameError: there is none.
    """
    by_name: Mapping[str, Baseline] = {baseline.name: baseline for baseline in known}
    if name not in by_name:
        hint = did_you_mean(name, by_name)
        raise UnknownNameError(
            f"no baseline is called `{name}`{hint}; `bench verify --list` shows them all"
        )
    return by_name[name]
