"""What a study searches: the ranges that components propose, and those that the user gives."""

from __future__ import annotations

from typing import Any

from bench.config import ExperimentConfig
from bench.records import RunSpec
from bench.registry import Registry


class Space:
    """What the study of one cell searches; `space_of` makes it."""

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Ask an Optuna-like trial for everything that is searched.

        Returns:
            What `bench.variation.vary` takes: values by the names that `--set` knows. The trial
            is asked under the names of `describe`.
        """
        raise NotImplementedError

    def defaults(self) -> dict[str, Any]:
        """Return what `suggest` does, with the values that the cell itself has."""
        raise NotImplementedError

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return what a trial may be asked for, as `StudyRecord.space` has it."""
        raise NotImplementedError

    def grid(self, size: int) -> list[dict[str, Any]]:
        """Return at most `size` points spread evenly, in a shuffled order.

        Each holds what a trial is asked for, by the names of `describe`.

        Raises:
            UsageError: even the coarsest grid has more points.
        """
        raise NotImplementedError


def space_of(spec: RunSpec, config: ExperimentConfig, registry: Registry) -> Space:
    """Return what the study of a cell searches.

    Raises:
        UsageError: `search` or `space` of the config cannot be understood.
        PluginError: what a component proposes does not fit its params.
    """
    raise NotImplementedError
